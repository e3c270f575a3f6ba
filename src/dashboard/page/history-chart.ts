import { useEffect, useRef } from 'preact/hooks';
import { HISTORY_RANGES, type HistoryKind, type HistorySeries } from '../answers.ts';
import { ErrorNotice, useAnswer } from './asked-answer.ts';
import { latency, rate, share } from './format.ts';
import { html } from './markup.ts';
import { choose, chosen } from './navigation.ts';
import { meta } from './page-store.ts';
import { Panel } from './small-parts.ts';
import { theme } from './theme.ts';

/** History beyond the last half hour, from Prometheus; without one nothing of it is shown. */

/** How often it is asked for anew, milliseconds. */
const EVERY_MS = 30_000;

interface HistoryProps {
  readonly kind: HistoryKind;
  /** Where it leads; empty: not to one cluster. */
  readonly cluster: string;
  readonly of?: { readonly namespace: string; readonly name: string; readonly side: string | null };
}

/** Which time is shown: the live numbers, or how far back. */
export function TimeChoice() {
  if (meta.value?.prometheus === null || meta.value === undefined) return '';
  const range = chosen('range');
  const option = (value: string, label: string) => html`<button
    type="button"
    key=${label}
    aria-pressed=${range === value ? 'true' : 'false'}
    onClick=${() => choose('range', value, true)}
  >
    ${label}
  </button>`;
  return html`<div class="choices" role="group" aria-label="Time">
    ${option('', 'Live')}${HISTORY_RANGES.map((one) => option(one, one))}
  </div>`;
}

/** Requests, success and latency of one thing over a time; nothing without Prometheus. */
export function History(props: HistoryProps) {
  const known = meta.value?.prometheus ?? null;
  if (known === null) return '';
  return html`<${Panel} title="History" note=${html`<${TimeChoice} />`}>
    ${chosen('range') === '' ? '' : html`<${Charts} ...${props} />`}
  </${Panel}>`;
}

function Charts({ kind, cluster, of }: HistoryProps) {
  const asked = {
    kind,
    range: chosen('range'),
    cluster,
    namespace: of?.namespace,
    name: of?.name,
    side: of?.side,
  };
  const query = new URLSearchParams(
    Object.entries(asked).flatMap(([key, value]) => (value ? [[key, value]] : [])),
  );
  const path = `/api/history/series.json?${query.toString()}`;
  const { value, error } = useAnswer<HistorySeries>(path, EVERY_MS);
  const notice =
    error === undefined ? '' : html`<${ErrorNotice} error=${error} label="Prometheus does not answer" />`;
  if (value === undefined) return error === undefined ? html`<div class="skeleton block"></div>` : notice;
  const { at, rps, success, p50, p99 } = value;
  return html`${notice}<div class="charts">
    <${Chart} title="Requests/s" at=${at} lines=${[{ label: 'requests', values: rps }]} write=${rate} />
    <${Chart} title="Success" at=${at} lines=${[{ label: 'success', values: success }]} write=${share} top=${1} />
    <${Chart} title="Latency" at=${at} lines=${[{ label: 'p50', values: p50 }, { label: 'p99', values: p99 }]} write=${latency} />
  </div>`;
}

interface ChartProps {
  readonly title: string;
  readonly at: readonly number[];
  readonly lines: readonly { readonly label: string; readonly values: readonly (number | null)[] }[];
  readonly write: (value: number | null) => string;
  readonly top?: number;
}

const CHART_HEIGHT = 160;
/** Every so many steps a row of the table below a chart. */
const TABLE_ROWS = 12;

/** A chart that can be zoomed by dragging; the same in a table for those who do not see it. */
function Chart({ title, at, lines, write, top }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { current } = box;
    if (current === null) return undefined;
    let close: (() => void) | undefined;
    let isGone = false;
    const draw = async () => {
      const { drawChart } = await import('./chart-drawing.ts');
      if (!isGone) close = drawChart(current, { at, lines, write, top, height: CHART_HEIGHT });
    };
    // What cannot be loaded is not drawn: the numbers stand in the table below.
    draw().catch(() => current.remove());
    return () => {
      isGone = true;
      close?.();
    };
  }, [at, lines.map(({ label }) => label).join(), theme.value]);
  const step = Math.max(1, Math.floor(at.length / TABLE_ROWS));
  const shown = at.flatMap((time, index) => (index % step === 0 ? [{ time, index }] : []));
  return html`<figure class="chart">
    <figcaption>${title}</figcaption>
    <div ref=${box} class="chart-box" aria-hidden="true"></div>
    <details>
      <summary>${title} as a table</summary>
      <table>
        <caption class="hidden-text">${title}</caption>
        <thead><tr><th scope="col">Time</th>${lines.map(({ label }) => html`<th scope="col" key=${label}>${label}</th>`)}</tr></thead>
        <tbody>
          ${shown.map(({ time, index }) => html`<tr key=${time}><th scope="row">${new Date(time * 1000).toLocaleString()}</th>${lines.map(({ label, values }) => html`<td key=${label}>${write(values[index] ?? null)}</td>`)}</tr>`)}
        </tbody>
      </table>
    </details>
  </figure>`;
}

import { useEffect } from 'preact/hooks';
import { ErrorNotice } from './asked-answer.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { bytes, count, latency, several, timeOfDay } from './format.ts';
import { classes, html } from './markup.ts';
import { choose, chosen } from './navigation.ts';
import { isShown, ShowChoice } from './page-shell.ts';
import { PageHead } from './page-states.ts';
import { clusterOf, contexts, isFailingRow } from './page-store.ts';
import { Foreign } from './small-parts.ts';
import { Mark } from './status-mark.ts';
import type { TapRow } from './tap-lines.ts';
import { startTap, stopTap, tapEnds, tapHeld, tapLost, tapRefusals, tapRows, tapState } from './page-tap.ts';
import { TopTable } from './top-table.ts';

/** Requests as they pass, and who asks most. */
export function LivePage() {
  const isTop = chosen('show') === 'top';
  return html`<${PageHead} title="Live" note=${isTop ? 'Pairs of client and Service in the last 10 s.' : 'Requests as they pass gateways and egresses: no headers, no bodies, no queries.'} />
    <div class="above-table">
      <${ShowChoice} first="Tap" other="Top" value="top" />
    </div>
    ${isTop ? html`<${TopTable} />` : html`<${Tap} />`}`;
}

/** What can be asked for, in the words of `linkspan tap`. */
const FIELDS: readonly (readonly [key: string, label: string, example: string])[] = [
  ['namespace', 'Namespace', 'all'],
  ['service', 'Service or mirror', 'any'],
  ['from', 'Client', 'default.*'],
  ['method', 'Method', 'GET,POST'],
  ['path', 'Path begins with', '/cart'],
  ['status', 'Status', '5xx,404'],
  ['minLatencyMs', 'At least, ms', '500'],
];

function Tap() {
  const state = tapState.value;
  // Who leaves the page does not look any more: pods have room for a few who do.
  useEffect(() => stopTap, []);
  const isOn = state === 'asking' || state === 'running';
  const start = (event: Event) => {
    event.preventDefault();
    startTap(
      contexts.value.filter(isShown).map(({ context }) => context),
      tapQueryOf(),
    );
  };
  return html`<form class="tap-form" aria-label="What is tapped" onSubmit=${start}>
      ${FIELDS.map(([key, label, example]) => field(key, label, example))}
      <label><span>Seen at</span>
        <select value=${chosen('side')} onChange=${onChange('side')}>
          <option value="">both ends</option><option value="gateway">gateway</option><option value="egress">egress</option>
        </select>
      </label>
      <label class="check">
        <input type="checkbox" checked=${chosen('failures') !== ''} onChange=${({ currentTarget }: Event) => currentTarget instanceof HTMLInputElement && choose('failures', currentTarget.checked ? 'true' : '')} />
        Failures only
      </label>
      <div class="tap-buttons">
        ${isOn ? html`<button type="button" onClick=${stopTap}>Stop</button>` : html`<button type="submit" class="primary">Start</button>`}
        <button type="button" aria-pressed=${tapHeld.value ? 'true' : 'false'} disabled=${!isOn} onClick=${() => (tapHeld.value = !tapHeld.value)}>Hold</button>
      </div>
    </form>
    ${tapRefusals.value.map(({ context, error }) => html`<${ErrorNotice} key=${context} error=${error} label=${`${clusterOf(context)} refuses the tap`} />`)}
    <${TapWords} />
    <${DataTable}
      caption=${`Requests as they pass, the newest first: ${several(tapRows.value.length, 'line')}`}
      quietCaption=${true}
      rows=${tapRows.value.map((row) => [row.key, row])}
      columns=${COLUMNS}
      isFailing=${isFailingRow}
      empty=${emptyWords(state)}
    />`;
}

function emptyWords(state: typeof tapState.value) {
  if (state === 'asking') return html`<p>Asking for a token, and every pod …</p>`;
  if (state === 'running') return html`<p>Nothing has passed yet that is so.</p>`;
  if (state === 'over') return html`<p>It is over; nothing has passed that was so.</p>`;
  return html`<p>Choose what to see, and start. A token for ten minutes is asked for then, not before.</p>`;
}

/** What is missing, and how it ended. */
function TapWords() {
  const lost = tapLost.value;
  const ends = tapEnds.value;
  if (lost === 0 && ends.length === 0) return '';
  return html`<section class="notice warn" aria-label="What is missing">
    <${Mark} tone="warn" />
    <div>
      ${lost === 0 ? '' : html`<p><strong>${several(lost, 'request')} passed that could not be shown.</strong> More came than are taken; a narrower filter shows all of what it lets through.</p>`}
      ${ends.map((line) => html`<p key=${line}><${Foreign} text=${line} /></p>`)}
    </div>
  </section>`;
}

function field(key: string, label: string, example: string) {
  return html`<label key=${key}><span>${label}</span>
    <input type="text" spellcheck="false" autocomplete="off" placeholder=${example} value=${chosen(key)} onInput=${onChange(key)} />
  </label>`;
}

const onChange = (key: string) => (event: Event) => {
  const { currentTarget } = event;
  if (currentTarget instanceof HTMLInputElement || currentTarget instanceof HTMLSelectElement)
    choose(key, currentTarget.value.trim());
};

function tapQueryOf(): URLSearchParams {
  const keys = [...FIELDS.map(([key]) => key), 'side', 'failures'];
  return new URLSearchParams(keys.map((key) => [key, chosen(key)]).filter(([, value]) => value !== ''));
}

const COLUMNS: readonly DataColumn<TapRow>[] = [
  { key: 'at', head: 'Time', cell: ({ at, isOpen }) => html`${timeOfDay(at, true)}${isOpen ? ' …' : ''}` },
  {
    key: 'where',
    head: 'Seen at',
    cell: ({ process, context }) => html`${process} <bdi>${clusterOf(context)}</bdi>`,
  },
  {
    key: 'client',
    head: 'Client',
    name: true,
    cell: ({ client, proven, process }) =>
      html`<bdi>${client}</bdi>${proven || process === 'egress' ? '' : html`<span class="muted" title="not proven">?</span>`}`,
  },
  {
    key: 'target',
    head: 'Service',
    cell: ({ target, cluster }) =>
      html`<bdi>${target}</bdi>${cluster === '' ? '' : html` <span class="muted">→ <bdi>${cluster}</bdi></span>`}`,
  },
  {
    key: 'request',
    head: 'Request',
    cell: ({ method, path }) => html`<strong>${method}</strong> <bdi>${path}</bdi>`,
  },
  {
    key: 'status',
    head: 'Status',
    cell: ({ status, failing, isOpen }) =>
      html`<span class=${classes('status', failing ? 'bad' : isOpen ? 'idle' : 'good')}><${Mark} tone=${failing ? 'bad' : isOpen ? 'idle' : 'good'} />${status || (isOpen ? 'open' : failing ? 'failed' : 'ended')}</span>`,
  },
  { key: 'first', head: 'First byte', number: true, cell: ({ firstMs }) => latency(firstMs) },
  { key: 'total', head: 'Total', number: true, cell: ({ totalMs }) => latency(totalMs) },
  { key: 'in', head: 'In', number: true, cell: ({ bytesIn }) => bytes(bytesIn) },
  { key: 'out', head: 'Out', number: true, cell: ({ bytesOut }) => bytes(bytesOut) },
  { key: 'tries', head: 'Tries', number: true, cell: ({ tries }) => count(tries) },
  { key: 'endpoint', head: 'Endpoint', cell: ({ endpoint }) => html`<bdi>${endpoint}</bdi>` },
  {
    key: 'word',
    head: 'What went wrong',
    cell: ({ word }) => html`<bdi class="message" dir="auto">${word}</bdi>`,
  },
];

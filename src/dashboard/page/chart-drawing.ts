import UPlot from 'uplot';

/** Draws charts with uPlot, which is loaded only when there is history to draw. */

interface Drawing {
  readonly at: readonly number[];
  readonly lines: readonly { readonly label: string; readonly values: readonly (number | null)[] }[];
  readonly write: (value: number | null) => string;
  /** The value at the upper edge; absent: by what there is. */
  readonly top?: number | undefined;
  readonly height: number;
}

const COLOURS = ['--accent', '--share-endpoint'] as const;

/** @returns takes it away */
export function drawChart(box: HTMLElement, { at, lines, write, top, height }: Drawing): () => void {
  needStyle();
  const font = `12px ${getComputedStyle(box).fontFamily}`;
  const line = { stroke: resolved(box, '--line'), width: 1 };
  const axis = { stroke: resolved(box, '--muted'), font, grid: line, ticks: { show: false } };
  const range: UPlot.Scale.Range =
    top === undefined
      ? (_, _least, most) => [0, most * 1.1 || 1]
      : (_, least) => [Math.min(least, top * 0.99), top];
  const chart = new UPlot(
    {
      width: box.clientWidth,
      height,
      cursor: { drag: { x: true, y: false } },
      scales: { y: { range } },
      axes: [
        { ...axis, size: 28, values: (_, times) => timeWords(times) },
        { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => write(tick)) },
      ],
      series: [
        { label: 'Time', value: (_, time: number | null) => (time === null ? '' : WHEN.format(time * 1000)) },
        ...lines.map(({ label }, nth) => ({
          label,
          stroke: resolved(box, COLOURS[nth] ?? '--accent'),
          width: 1.5,
          // Told by more than a colour.
          dash: nth === 0 ? [] : [6, 3],
          value: (_: UPlot, value: number | null) => write(value),
        })),
      ],
    },
    [[...at], ...lines.map(({ values }) => [...values])],
    box,
  );
  const observer = new ResizeObserver(() => chart.setSize({ width: box.clientWidth, height }));
  observer.observe(box);
  return () => {
    observer.disconnect();
    chart.destroy();
  };
}

const WHEN = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
const TIME = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const DAY_S = 86_400;

/** Times below a chart; over days, days. @param times seconds since the epoch */
function timeWords(times: readonly number[]): string[] {
  const isLong = (times.at(-1) ?? 0) - (times[0] ?? 0) > 2 * DAY_S;
  return times.map((time) => (isLong ? DAY : TIME).format(time * 1000));
}

/**
 * A colour of the theme as a canvas takes it: `light-dark()` is resolved where it is used, not where it
 * stands.
 */
function resolved(box: HTMLElement, name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  box.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function needStyle(): void {
  const href = '/lib/uplot.css';
  if (document.querySelector(`link[href="${href}"]`) !== null) return;
  const link = document.createElement('link');
  link.rel = 'stylesheet';
  link.href = href;
  document.head.append(link);
}

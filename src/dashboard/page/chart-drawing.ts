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
  const axis = {
    stroke: resolved(box, '--muted'),
    grid: { stroke: resolved(box, '--line') },
    ticks: { show: false },
  };
  const chart = new UPlot(
    {
      width: box.clientWidth,
      height,
      cursor: { drag: { x: true, y: false } },
      legend: { live: true },
      scales: {
        y:
          top === undefined
            ? { range: (_, _least, most) => [0, most * 1.1 || 1] }
            : { range: (_, least) => [Math.min(least, top * 0.99), top] },
      },
      axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => write(tick)) }],
      series: [
        {},
        ...lines.map(({ label }, nth) => ({
          label,
          stroke: resolved(box, COLOURS[nth] ?? '--accent'),
          width: 1.5,
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

import type { SignalFields } from '../../traffic/tally.ts';
import type { SparkRow } from '../snapshot.ts';
import { latency, perSecond, share } from './format.ts';
import { html } from './markup.ts';
import { Spark } from './spark-line.ts';

/** A number that matters, and how it was in the last half hour. */
export interface Tile {
  readonly label: string;
  readonly value: string;
  readonly values: readonly (number | null)[];
  readonly write: (value: number | null) => string;
  /** The value at the lower edge of its line; default 0. */
  readonly least?: number;
}

/** Where lines of success begin: below it things are bad, however bad. */
const LEAST_SUCCESS = 0.9;

/**
 * The tiles of whatever has signals, with its last half hour where that is known.
 * @param row undefined: nothing was counted
 */
export function signalTiles(
  row: Pick<SignalFields, 'latency_ms_p50' | 'latency_ms_p99' | 'rps' | 'success'> | undefined,
  spark: Pick<SparkRow, 'p99' | 'rps' | 'success'> | undefined,
): Tile[] {
  const { rps = [], success = [], p99 = [] } = spark ?? {};
  return [
    { label: 'Requests', value: perSecond(row?.rps), values: rps, write: perSecond },
    {
      label: 'Success',
      value: share(row?.success),
      values: success,
      write: share,
      least: LEAST_SUCCESS,
    },
    bareTile('p50', latency(row?.latency_ms_p50)),
    { label: 'p99', value: latency(row?.latency_ms_p99), values: p99, write: latency },
  ];
}

/** A number without a past. */
export function bareTile(label: string, value: string): Tile {
  return { label, value, values: [], write: () => value };
}

/** Numbers side by side. */
export function SignalTiles({ title, tiles }: { readonly title: string; readonly tiles: readonly Tile[] }) {
  return html`<section class="tiles" aria-label=${title}>
    <dl>
      ${tiles.map(
        ({ label, value, values, write, least }) => html`<div class="tile" key=${label}>
          <dt>${label}</dt>
          <dd>
            <span class="value">${value}</span>
            ${values.length === 0 ? '' : html`<${Spark} values=${values} label=${label} write=${write} least=${least} />`}
          </dd>
        </div>`,
      )}
    </dl>
  </section>`;
}

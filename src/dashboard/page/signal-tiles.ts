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
export const LEAST_SUCCESS = 0.9;

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

import type { PageName } from './page-routes.ts';

/** What keys do: decided here, done in `keyboard.ts`. Pure. */

/** Pages by the key that follows `g`. */
export const GO_KEYS: Readonly<Record<string, PageName>> = {
  n: 'now',
  m: 'map',
  l: 'links',
  s: 'services',
  c: 'clients',
  t: 'live',
  p: 'processes',
  r: 'reasons',
};

/** What a key asks for. */
export type KeyAct =
  | { readonly act: 'go'; readonly page: PageName }
  | { readonly act: 'help' | 'none' | 'search' | 'theme' | 'wait' };

/** A key, and where it was pressed. */
export interface KeyPress {
  readonly key: string;
  /** With Control, Alt or Meta it is the browser's. */
  readonly modified: boolean;
  /** In a field keys are text. */
  readonly typing: boolean;
}

/** @param after the key before it, if that was a moment ago */
export function keyAct({ key, modified, typing }: KeyPress, after: string): KeyAct {
  if (modified || typing) return { act: 'none' };
  const page = GO_KEYS[key];
  if (after === 'g' && page !== undefined) return { act: 'go', page };
  if (key === 'g') return { act: 'wait' };
  if (key === '/') return { act: 'search' };
  if (key === '?') return { act: 'help' };
  return { act: key === 'd' ? 'theme' : 'none' };
}

/** For the list of keys. */
export const KEY_HELP: readonly (readonly [keys: readonly string[], what: string])[] = [
  [['g', 'n'], 'Now: what fails'],
  [['g', 'm'], 'Map of clusters'],
  [['g', 'l'], 'Links'],
  [['g', 's'], 'Services'],
  [['g', 'c'], 'Clients'],
  [['g', 't'], 'Live: tap and top'],
  [['g', 'p'], 'Processes'],
  [['g', 'r'], 'Reasons'],
  [['/'], 'Search everything'],
  [['d'], 'Next theme: system, light, dark'],
  [['?'], 'This list'],
  [['Esc'], 'Close what is open'],
];

/**
 * Units of which some text, repeated, has been too much for some parser: for each kind of reader what it has
 * to look at again and again.
 */
const REPEATED = [
  ' ',
  '\t',
  'a',
  '9',
  '0.',
  ',',
  ', ',
  ';',
  '=',
  '"',
  '\\',
  '\\"',
  '/',
  '-',
  '.',
  'a.',
  '*.',
  ':',
  '@',
  'a@b,',
  '1-2,',
  '1,',
  '[',
  '{"a":',
  '(',
  '%',
  '#',
  '1s',
  'by=',
  ',by="',
  'burst ',
  '? ',
  '- ',
  'h2c,',
  'trailers ',
  '\u00ff',
] as const;

/** Texts in which a repetition is wrapped in what makes a parser hope to the end. */
const WRAPPED: readonly (readonly [before: string, unit: string, after: string])[] = [
  // These two stopped gateways.
  ['by=', ' ', '"a"b'],
  ['1', ' ', 'x'],
  ['1/s', ' ', 'burst x'],
  ['', '1', 'x'],
  ['', '1ms', 'x'],
  ['"', 'a', ''],
  ['"', '\\"', ''],
  ['-', ' ', '-'],
  ['h2', ' ', 'x'],
  ['http://', '@', '/'],
  ['x=', ',', '=1'],
  ['a', '.a', '_'],
  ['[', '[', ''],
  ['{"80":', '9', '}'],
];

/** How many of the texts, the last ones, are a repetition in what makes a parser hope to the end. */
export const WRAPPED_TEXTS = WRAPPED.length;

/**
 * Makers of texts of about `length` characters (latin1, without line ends) that are as bad as they can be for
 * those who read them.
 */
export const WORST_TEXTS: readonly ((length: number) => string)[] = [
  ...REPEATED.map(
    (unit) => (length: number) => unit.repeat(Math.ceil(length / unit.length)).slice(0, length),
  ),
  ...WRAPPED.map(([before, unit, after]) => (length: number) => {
    const room = Math.floor((length - before.length - after.length) / unit.length);
    return (before + unit.repeat(Math.max(0, room)) + after).slice(0, length);
  }),
];

/** All of them. */
export function worstTexts(length: number): string[] {
  return WORST_TEXTS.map((make) => make(length));
}

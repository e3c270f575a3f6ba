import type { CardRow } from '../snapshot.ts';
import { fullName } from './format.ts';

/** In which order failures stand, and which of them are news. Pure. */

/** What the rest hangs on comes first. */
const WEIGHT: readonly CardRow['kind'][] = [
  'cluster',
  'link',
  'gateway',
  'certificate',
  'process',
  'mirror',
  'service',
];

type Cards = Readonly<Record<string, CardRow>>;

/** Cards in the order in which they are shown. */
export function orderedCards(cards: Cards): [string, CardRow][] {
  return Object.entries(cards).sort(
    ([, a], [, b]) =>
      WEIGHT.indexOf(a.kind) - WEIGHT.indexOf(b.kind) ||
      (b.rps ?? 0) - (a.rps ?? 0) ||
      (fullName(a) < fullName(b) ? -1 : 1),
  );
}

/** As many as one sentence names. */
const MOST_NEWS = 3;

/** What readers of screens are told of failures that were not there before; empty: there are none. */
export function newsOf(before: Cards, after: Cards): string {
  const news = orderedCards(after).filter(([key]) => !Object.hasOwn(before, key));
  if (news.length === 0) return '';
  const words = news.slice(0, MOST_NEWS).map(([, card]) => `${card.kind} ${fullName(card)}: ${card.reason}`);
  const more = news.length > MOST_NEWS ? `; and ${news.length - MOST_NEWS} more` : '';
  return `New failure: ${words.join('; ')}${more}`;
}

/** What is found by a few letters of its name. Pure. */

/** Something with a name and a place. */
export interface Findable {
  readonly kind: string;
  readonly name: string;
  readonly detail: string;
  readonly href: string;
}

/** As many as are shown. */
const MOST = 9;

/** The best of them: names that begin so, then those where a word does, then those that have it somewhere. */
export function bestFinds(all: readonly Findable[], asked: string): Findable[] {
  const wanted = asked.trim().toLowerCase();
  if (wanted === '') return [];
  return all
    .map((find) => ({ find, rank: rankOf(find.name.toLowerCase(), wanted) }))
    .filter(({ rank }) => rank < 3)
    .sort((a, b) => a.rank - b.rank || a.find.name.length - b.find.name.length)
    .slice(0, MOST)
    .map(({ find }) => find);
}

function rankOf(name: string, wanted: string): number {
  const at = name.indexOf(wanted);
  if (at <= 0) return at === 0 ? 0 : 3;
  return /[a-z0-9]/.test(name[at - 1] ?? '') ? 2 : 1;
}

/** Whether any of the words of a row has what somebody typed; upper and lower case are one. */
export function hasText(asked: string, ...words: readonly string[]): boolean {
  const wanted = asked.trim().toLowerCase();
  return wanted === '' || words.some((word) => word.toLowerCase().includes(wanted));
}

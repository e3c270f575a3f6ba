import { nearest } from '../base/config.ts';
import { catalogue, type CatalogueEntry } from '../base/error-catalogue.ts';
import { LinkspanError } from '../base/errors.ts';
import { linkReasons } from '../link/status.ts';
import { eventReasons, mirrorReasons } from '../mirror/reasons.ts';
import { probeReasons } from '../probe/outcome.ts';

/** Where a reason may stand. The same word may stand in several places, and mean something of its own in each. */
const PLACES: readonly (readonly [where: string, reasons: Readonly<Record<string, string>>])[] = [
  ['a mirror or a federated membership', mirrorReasons],
  ['a condition of a Link', linkReasons],
  ['a probe of a gateway address', probeReasons],
  ['an Event', eventReasons],
];

/** What a reason means, for one place where it may stand. */
export interface ReasonMeaning {
  readonly reason: string;
  readonly of: string;
  readonly meaning: string;
}

/** What an error code means and what to do. */
export interface CodeMeaning extends CatalogueEntry {
  readonly code: string;
}

/**
 * Every meaning of a reason constant, in whatever case it was typed.
 * @throws LinkspanError CONFIG_INVALID for an unknown one, with the nearest
 */
export function meaningsOf(word: string): ReasonMeaning[] {
  const all = PLACES.flatMap(([of, reasons]) =>
    Object.entries(reasons).map(([reason, meaning]) => ({ reason, of, meaning })),
  );
  const found = all.filter(({ reason }) => reason.toLowerCase() === word.toLowerCase());
  if (found.length > 0) return found;
  throw unknown(
    'reason',
    word,
    all.map(({ reason }) => reason),
  );
}

/** What an error code means. @throws LinkspanError CONFIG_INVALID for an unknown one, with the nearest */
export function meaningOfCode(word: string): CodeMeaning {
  const code = word.replace(/^\[|\]$/g, '').toUpperCase();
  const found = Object.entries<CatalogueEntry>(catalogue).find(([known]) => known === code);
  if (found === undefined) throw unknown('error', code, Object.keys(catalogue));
  return { code, ...found[1] };
}

/** What the words of a Link's condition mean; empty for a reason that another controller wrote. */
export function meaningOfLinkReason(reason: string): string {
  return Object.entries<string>(linkReasons).find(([known]) => known === reason)?.[1] ?? '';
}

/** The text for people. */
export function reasonText(meanings: readonly ReasonMeaning[]): string {
  return meanings.map(({ reason, of, meaning }) => `${reason} (of ${of})\n  ${meaning}\n`).join('\n');
}

/** The text for people. */
export function codeText({ code, meaning, fix }: CodeMeaning): string {
  return `${code}\n  ${meaning}\n  What to do: ${fix}\n`;
}

function unknown(what: string, word: string, known: readonly string[]): LinkspanError {
  const near = nearest(word, known);
  const hint = near === undefined ? '' : ` (did you mean ${near}?)`;
  return new LinkspanError('CONFIG_INVALID', `explain ${what}: there is no "${word}"${hint}`, {
    hint: `docs/reference/${what}s.md lists all.`,
  });
}

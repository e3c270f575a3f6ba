import { nearest } from '../../base/config.ts';
import { catalogue, type ErrorCode } from '../../api/errors/error-catalogue.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { linkReasons } from '../../api/link/link-status.ts';
import { eventReasons, mirrorReasons } from '../../api/reasons/mirror-reasons.ts';
import { probeReasons } from '../../api/reasons/probe-outcome.ts';
import { type AnyReason, reasonAdvice } from './reason-advice.ts';

/** The tables of reasons with their meanings, in the order of docs/reference/reasons.md. */
export const REASON_TABLES: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['a mirror or a federated membership', mirrorReasons],
  ['an Event', eventReasons],
  ['a probe of a gateway address', probeReasons],
  ['a condition of a Link', linkReasons],
];

/** A reason constant, for programs. */
export interface ReasonText {
  readonly reason: string;
  readonly meanings: readonly { readonly of: string; readonly meaning: string }[];
  readonly fix: string;
}

/** @throws LinkspanError CONFIG_INVALID, with the nearest one there is */
export function reasonText(word: string): ReasonText {
  const reasons = Object.keys(reasonAdvice);
  const reason = found(word, reasons, 'reason') as AnyReason;
  const meanings = REASON_TABLES.flatMap(([of, table]) => {
    const meaning = table[reason];
    return meaning === undefined ? [] : [{ of, meaning }];
  });
  return { reason, meanings, fix: reasonAdvice[reason] };
}

/** An error code, for programs. */
export interface CodeText {
  readonly code: string;
  readonly meaning: string;
  readonly fix: string;
}

/** @throws LinkspanError CONFIG_INVALID, with the nearest one there is */
export function codeText(word: string): CodeText {
  const code = found(word.replaceAll(/[[\]]/g, ''), Object.keys(catalogue), 'error code') as ErrorCode;
  return { code, ...catalogue[code] };
}

/** The known word that equals `word` regardless of case. @throws LinkspanError CONFIG_INVALID */
function found(word: string, known: readonly string[], what: string): string {
  const exact = known.find((one) => one.toLowerCase() === word.toLowerCase());
  if (exact !== undefined) return exact;
  const near = nearest(word, known);
  throw new LinkspanError(
    'CONFIG_INVALID',
    `explain: there is no ${what} "${word}"${near === undefined ? '' : ` (did you mean "${near}"?)`}`,
  );
}

/** For people. */
export function reasonLines({ reason, meanings, fix }: ReasonText): string {
  return alignedLabels([
    ['Reason', reason],
    ...meanings.map(({ of, meaning }): [string, string] => [`Of ${of}`, meaning]),
    ['What to do', fix],
  ]);
}

/** For people. */
export function codeLines({ code, meaning, fix }: CodeText): string {
  return alignedLabels([
    ['Code', code],
    ['Meaning', meaning],
    ['What to do', fix],
  ]);
}

/** Labels in one column, texts in another. */
export function alignedLabels(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([label]) => label.length)) + 2;
  return lines.map(([label, text]) => `${label.padEnd(width)}${text}`.trimEnd() + '\n').join('');
}

import { nearest } from '../../base/config.ts';
import { catalogue, type ErrorCode } from '../../api/errors/error-catalogue.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { linkReasons } from '../../api/link/link-status.ts';
import { drainEvents, failoverEvents, failoverReasons } from '../../api/failover/failover-reasons.ts';
import { alertReasons } from '../../api/reasons/alert-reasons.ts';
import { eventReasons, mirrorReasons } from '../../api/reasons/mirror-reasons.ts';
import { trafficReasons } from '../../api/reasons/traffic-reasons.ts';
import { probeReasons } from '../../api/reasons/probe-outcome.ts';
import { table } from './output.ts';
import { type AnyReason, reasonAdvice } from './reason-advice.ts';

/** The tables of reasons with their meanings, in the order of docs/reference/reasons.md. */
export const REASON_TABLES: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['a mirror or a federated membership', meaningsOf(mirrorReasons)],
  ['an Event', eventReasons],
  ['a probe of a gateway address', probeReasons],
  ['a condition of a Link', linkReasons],
  ['failover: a backend, or a condition of a federated Service', failoverReasons],
  ['an Event about failover', failoverEvents],
  ['an Event about a drain or a drill', drainEvents],
  ['traffic, and a process that carries it', trafficReasons],
  ['an alert', alertReasons],
];

function meaningsOf(
  entries: Readonly<Record<string, { readonly meaning: string }>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(entries).map(([reason, { meaning }]) => [reason, meaning]));
}

/** A reason constant, for programs. */
export interface ReasonText {
  readonly reason: string;
  readonly meanings: readonly { readonly of: string; readonly meaning: string }[];
  readonly fix: string;
}

const REASONS = Object.keys(reasonAdvice);
const CODES = Object.keys(catalogue);

/** @throws LinkspanError USAGE, with the nearest one there is, and where all are */
export function reasonText(word: string): ReasonText {
  const reason = found(word, REASONS, 'reason') as AnyReason;
  const meanings = REASON_TABLES.flatMap(([of, meaningOf]) => {
    const meaning = meaningOf[reason];
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

/** Every reason, in the order of docs/reference/reasons.md. */
export function allReasons(): ReasonText[] {
  const words = new Set(REASON_TABLES.flatMap(([, reasons]) => Object.keys(reasons)));
  return [...words].map(reasonText);
}

/** Every error code, in the catalogue's order. */
export function allCodes(): CodeText[] {
  return CODES.map(codeText);
}

/** @throws LinkspanError USAGE, with the nearest one there is, and where all are */
export function codeText(word: string): CodeText {
  const code = found(word.replaceAll(/[[\]]/g, ''), CODES, 'error code') as ErrorCode;
  return { code, ...catalogue[code] };
}

/** The known word that equals `word` regardless of case. @throws LinkspanError USAGE */
function found(word: string, known: readonly string[], what: keyof typeof LISTS): string {
  const exact = known.find((one) => one.toLowerCase() === word.toLowerCase());
  if (exact !== undefined) return exact;
  const near = nearest(word, known);
  throw new LinkspanError(
    'USAGE',
    `explain: there is no ${what} "${word}"${near === undefined ? '' : ` (did you mean "${near}"?)`}`,
    { hint: `${LISTS[what]} lists them.` },
  );
}

const LISTS = {
  reason: '`linkspan explain reason` (docs/reference/reasons.md)',
  'error code': '`linkspan explain error` (docs/reference/errors.md)',
};

/** A line for each reason, with its meanings. */
export function reasonsTable(reasons: readonly ReasonText[]): string {
  return table(
    ['REASON', 'MEANING'],
    reasons.map(({ reason, meanings }) => [
      reason,
      [...new Set(meanings.map((one) => one.meaning))].join(' '),
    ]),
  );
}

/** A line for each error code, with its meaning. */
export function codesTable(codes: readonly CodeText[]): string {
  return table(
    ['CODE', 'MEANING'],
    codes.map(({ code, meaning }) => [code, meaning]),
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

import type { AnnotationReader } from '../../api/annotation-reader.ts';
import type { AnnotationName } from '../../api/annotations.ts';
import type { Rate, RateLimits, SharedRate } from './rate-limits.ts';
import { RATE_LIMIT, RATE_LIMIT_CLIENTS, RATE_LIMIT_PER_CLIENT } from '../../api/names.ts';

/** A rate above this is a slip of the pen, and the arithmetic would no longer be exact. */
const MAX_RATE = 1_000_000;
const SECONDS: ReadonlyMap<string, number> = new Map([
  ['s', 1],
  ['m', 60],
  ['h', 3600],
]);
const BURST = 'burst';
const DECIMAL = /^\d+(?:\.\d+)?$/;
/** How a rate is written, for messages. */
export const RATE_FORM = 'a rate such as 100/s, 30/m or "100/s burst 200"';

/**
 * Reads the annotations `linkspan.dev/rate-limit…` of a Service; undefined where nothing is limited. One that
 * cannot be read limits nothing and leaves the others as they are. All ports and pods of the Service share
 * its limits.
 * @param key `namespace/name` of the Service
 */
export function readRateLimits(reader: AnnotationReader, key: string): RateLimits | undefined {
  const read = (name: AnnotationName) => reader.read([name], parseRate, `is not ${RATE_FORM}, it is ignored`);
  const total = read(RATE_LIMIT);
  const perClient = read(RATE_LIMIT_PER_CLIENT);
  const overrides = reader.read([RATE_LIMIT_CLIENTS], (text) => readOverrides(text, reader.problems)) ?? [];
  if (overrides.length === 0) reader.drop(RATE_LIMIT_CLIENTS);
  if (total === undefined && perClient === undefined && overrides.length === 0) return undefined;
  const policy = `core/service/${key.slice(key.indexOf('/') + 1)}`;
  return rateLimits(`Service ${key}`, policy, { total, perClient, overrides });
}

/** Limits as a Service or a file says them. */
export function rateLimits(
  key: string,
  policy: string,
  rates: {
    readonly total: Rate | undefined;
    readonly perClient: Rate | undefined;
    readonly overrides: readonly SharedRate[];
  },
): RateLimits {
  const { total, perClient, overrides } = rates;
  return {
    key,
    policy,
    ...(total === undefined ? {} : { total }),
    ...(perClient === undefined ? {} : { perClient }),
    overrides,
  };
}

/** `<identity>=<rate>`, separated by commas. */
function readOverrides(text: string, problems: string[]): SharedRate[] {
  const found: SharedRate[] = [];
  for (const entry of text.split(',')) {
    if (entry.trim() === '') continue;
    const at = entry.lastIndexOf('=');
    const client = entry.slice(0, Math.max(0, at)).trim();
    const rate = parseRate(entry.slice(at + 1));
    if (client === '' || rate === undefined)
      problems.push(
        `${RATE_LIMIT_CLIENTS}: "${entry.trim()}" is not <identity>=<rate>, with ${RATE_FORM}; it is ignored`,
      );
    else found.push({ clients: [client], rate });
  }
  return found;
}

/**
 * Reads `100`, `100/s`, `30/m`, `10/h`, each with or without ` burst 200`. Without a burst, the requests of
 * one second may come at once, at least 1.
 * @returns undefined when it is none of these, 0, or more than a million a second
 */
export function parseRate(text: string): Rate | undefined {
  const at = text.indexOf(BURST);
  const rate = at < 0 ? text : text.slice(0, at);
  const [count = '', unit = 's', ...more] = rate.split('/', 3).map((part) => part.trim());
  const seconds = SECONDS.get(unit);
  if (seconds === undefined || more.length > 0 || !DECIMAL.test(count)) return undefined;
  const perSecond = Number(count) / seconds;
  const burst = at < 0 ? Math.max(1, Math.ceil(perSecond)) : burstOf(rate, text.slice(at + BURST.length));
  const sound = perSecond > 0 && perSecond <= MAX_RATE && burst >= 1 && burst <= MAX_RATE;
  return sound ? { perSecond, burst } : undefined;
}

/** The number behind `burst`, which has blanks on both sides; NaN when it is none. */
function burstOf(rate: string, rest: string): number {
  const apart = rate.trimEnd() !== rate && rest.trimStart() !== rest;
  const room = rest.trim();
  return apart && /^\d+$/.test(room) ? Number(room) : Number.NaN;
}

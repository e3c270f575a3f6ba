import { plainWords } from '../../base/text.ts';
import { MAX_DRAIN_LENGTH } from './failover-names.ts';
import { readJsonObject, readTime } from './json-object.ts';

/**
 * What a drill does. `fail`, on a Link: the egress takes connections to its cluster for dead. `endpoints`, on
 * a gateway's Service: the gateway refuses as if no endpoint were ready.
 */
export const CONNECTION_DRILLS = ['fail', 'endpoints'] as const;
export type ConnectionDrillKind = (typeof CONNECTION_DRILLS)[number];

/** For a time, a cluster is taken for worse than it is. */
export interface ConnectionDrill {
  readonly kind: ConnectionDrillKind;
  /** When it begins and ends, milliseconds since the epoch; an hour apart at most. */
  readonly start: number;
  readonly until: number;
  /** Who has begun it; only shown to users. */
  readonly by?: string;
}

/** Longest drill, milliseconds. Whoever began it may be gone: its end stands in the object from the start. */
export const MAX_DRILL_MS = 3_600_000;

/** Longest `by`, in characters; more is cut off. */
const MAX_WORDS = 200;

/** The value of the annotation for a drill. */
export function writeDrill({ kind, start, until, by }: ConnectionDrill): string {
  return JSON.stringify({
    kind,
    start: new Date(start).toISOString(),
    until: new Date(until).toISOString(),
    ...(by === undefined ? {} : { by: plainWords(by, MAX_WORDS) }),
  });
}

/**
 * Reads the text of an annotation: `{"kind": "fail", "start": "…", "until": "…"}`.
 * @returns undefined where the text is not a valid drill, or one that is longer than an hour
 */
export function readDrill(text: string | undefined): ConnectionDrill | undefined {
  const read = text === undefined ? undefined : parseDrill(text);
  return typeof read === 'string' ? undefined : read;
}

/** What is wrong with the text of an annotation, for people; undefined: nothing, or there is none. */
export function drillProblem(text: string | undefined): string | undefined {
  const read = text === undefined ? undefined : parseDrill(text);
  return typeof read === 'string' ? read : undefined;
}

/** @returns a text: what is wrong */
function parseDrill(text: string): ConnectionDrill | string {
  const said = readJsonObject(text, MAX_DRAIN_LENGTH);
  if (said === undefined) return `no JSON object of up to ${MAX_DRAIN_LENGTH} characters`;
  const kind = CONNECTION_DRILLS.find((one) => one === said['kind']);
  if (kind === undefined) return `"kind" must be one of ${CONNECTION_DRILLS.join(', ')}`;
  const [start, until] = [readTime(said['start']), readTime(said['until'])];
  if (start === undefined || until === undefined)
    return '"start" and "until" must be times such as "2026-11-29T16:00:00Z"';
  if (until < start || until - start > MAX_DRILL_MS) return '"until" must be up to an hour after "start"';
  const by = said['by'];
  return { kind, start, until, ...(typeof by === 'string' ? { by: plainWords(by, MAX_WORDS) } : {}) };
}

import type { TapFlow } from '../api/answers/tap-events.ts';
import { backendOf, mirrorOf } from '../api/ports/target-key.ts';
import { escapedText } from '../base/text.ts';
import type { AccessEntry, LoggedFlow } from '../proxy/downstream/access-log.ts';
import { shownPath } from '../proxy/http/shown-path.ts';
import type { FailureKind } from '../proxy/http/failures.ts';

/** What is known of a process beside its flows. */
export interface TapPlaces {
  readonly process: 'gateway' | 'egress';
  /** Egress: the one cluster that a label leads to; undefined: there is not one, or not one only. */
  clusterOf(label: string): string | undefined;
  /** Egress: the cluster behind a gateway address; undefined: it is no address of a gateway. */
  clusterAt(endpoint: string): string | undefined;
}

/** Longest path, bytes, and longest other word of a stranger, characters. */
const MAX_PATH = 256;
const MAX_WORD = 512;
const MAX_METHOD = 32;
/** Failures whose message may quote what a client or an endpoint has sent in a head. */
const QUOTING: ReadonlySet<FailureKind | undefined> = new Set(['bad request', 'bad target response']);

/** The Service of a label, and its namespace where it has one. */
export function targetOf(label: string, process: TapPlaces['process']): TapFlow['target'] {
  const mirror = process === 'egress' ? mirrorOf(label) : undefined;
  const { name, namespace, port } = mirror ?? backendOf(label);
  if (mirror !== undefined) return { name, port, namespace, mirror: name };
  return namespace === '' ? { name, port } : { name, port, namespace, service: name };
}

/** The path that may be shown and asked for, whole; undefined for what has none (raw bytes). */
export function pathOf({ path }: Pick<LoggedFlow, 'path'>): string | undefined {
  return path === undefined ? undefined : shownPath(path);
}

/**
 * What somebody who taps sees of a request or raw connection: an entry of the access log without what may be
 * secret, and no text that a terminal would obey.
 * @param at milliseconds since the epoch
 */
export function tapFlow(
  entry: AccessEntry,
  places: TapPlaces,
  seen: { readonly id: string; readonly at: number; readonly type: 'flow' | 'open' },
): TapFlow {
  const { process } = places;
  const path = pathOf(entry);
  const { reason, failure, endpoint, via } = entry;
  const to = endpoint === undefined ? undefined : places.clusterAt(endpoint);
  const cluster = places.clusterOf(entry.target) ?? to;
  const target = targetOf(entry.target, process);
  return {
    v: 1,
    type: seen.type,
    id: seen.id,
    at: seen.at,
    process,
    side: process === 'gateway' ? 'target' : 'source',
    client: {
      identity: process === 'gateway' ? shown(entry.client) : undefined,
      address: entry.address === '' ? undefined : shown(entry.address),
      proven: process === 'gateway' && via === undefined,
      via: shown(via),
    },
    target: { ...target, name: shown(target.name), port: shown(target.port), cluster },
    gateway: to === undefined ? undefined : endpoint,
    endpoint,
    protocol: entry.protocol,
    method: shown(entry.method, MAX_METHOD),
    path: path === undefined ? undefined : escapedText(cutBytes(path)),
    status: entry.status,
    grpcStatus: entry.grpcStatus,
    bytesIn: entry.bytesIn,
    bytesOut: entry.bytesOut,
    firstByteMs: thousandths(entry.firstByteMs),
    totalMs: thousandths(entry.totalMs) ?? 0,
    tries: entry.attempts,
    failure,
    reason: QUOTING.has(failure) ? undefined : shown(reason),
    fault: entry.fault,
    traceId: entry.traceId,
  };
}

function shown(text: string, most?: number): string;
function shown(text: string | undefined, most?: number): string | undefined;
function shown(text: string | undefined, most = MAX_WORD): string | undefined {
  return text === undefined ? undefined : escapedText(text.slice(0, most));
}

/** Up to so many bytes of UTF-8, without half a character at the end. */
function cutBytes(text: string): string {
  if (text.length * 3 <= MAX_PATH) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_PATH) return text;
  let end = MAX_PATH;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.subarray(0, end).toString('utf8')}…`;
}

function thousandths(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.max(0, Math.round(ms * 1000) / 1000);
}

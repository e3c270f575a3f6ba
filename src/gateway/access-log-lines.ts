import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { AccessEntry, AccessLog } from '../proxy/downstream/access-log.ts';
import type { FailureKind } from '../proxy/http/failures.ts';
import { isFailedAnswer } from '../proxy/http/classify.ts';

/** Which requests are logged: none, failed ones, failed ones and a share (0 to 1) of the others, or all. */
export type AccessLogMode = 'off' | 'errors' | 'all' | { readonly share: number };

/** Share of `sampled` without a number. */
export const DEFAULT_SHARE = 0.01;

/** Reads `off`, `errors`, `all`, `sampled` or `sampled:<share>`; undefined for anything else. */
export function parseAccessLogMode(text: string): AccessLogMode | undefined {
  if (text === 'off' || text === 'errors' || text === 'all') return text;
  if (text === 'sampled') return { share: DEFAULT_SHARE };
  const match = /^sampled:(\d*|\d*\.\d+)$/.exec(text);
  const share = Number(match?.[1]);
  return match !== null && share > 0 && share <= 1 ? { share } : undefined;
}

/** What a gateway's access log records, and where it writes. */
export interface AccessLogOptions {
  readonly mode: AccessLogMode;
  /** Whether paths are logged with their query, which may contain secrets; default false. */
  readonly query?: boolean;
  /** Writes a whole line. Must not block. */
  write(line: string): void;
  readonly clock: Clock;
  readonly random: Random;
}

const NEVER: AccessLog['wants'] = () => false;

/** A structured access log: one line of JSON per request or opaque connection, at its end. */
export function createAccessLog(options: AccessLogOptions): AccessLog {
  return {
    wants: wantsOf(options.mode, options.random),
    record: (entry) => options.write(`${accessLine(entry, options.clock.now(), options.query === true)}\n`),
  };
}

function wantsOf(mode: AccessLogMode, random: Random): AccessLog['wants'] {
  if (mode === 'off') return NEVER;
  if (mode === 'all') return () => true;
  if (mode === 'errors') return isError;
  const { share } = mode;
  return (status, failure, grpc) => isError(status, failure, grpc) || random() < share;
}

/**
 * Whether a request counts as failed: the gateway refused it or failed, or the target answered with an error.
 */
function isError(status: number | undefined, failure?: FailureKind, grpc?: number): boolean {
  return failure !== undefined || isFailedAnswer(status, grpc);
}

/**
 * One line, without a line break. Durations are in milliseconds with three decimals; unknown fields are
 * omitted.
 * @param now milliseconds since the epoch
 * @param query whether the path is written with its query
 */
export function accessLine(entry: AccessEntry, now: number, query: boolean): string {
  const mark = query ? -1 : (entry.path?.indexOf('?') ?? -1);
  return JSON.stringify({
    level: 'info',
    time: new Date(now).toISOString(),
    process: 'gateway',
    client: entry.client,
    via: entry.via,
    target: entry.target,
    endpoint: entry.endpoint,
    tries: entry.attempts,
    protocol: entry.protocol,
    method: entry.method,
    path: mark < 0 ? entry.path : entry.path?.slice(0, mark),
    status: entry.status,
    grpc_status: entry.grpcStatus,
    bytes_in: entry.bytesIn,
    bytes_out: entry.bytesOut,
    first_byte_ms: rounded(entry.firstByteMs),
    total_ms: rounded(entry.totalMs),
    failure: entry.failure,
    reason: entry.reason,
    fault: entry.fault,
    trace_id: entry.traceId,
    msg: 'access',
  });
}

function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 1000) / 1000;
}

import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { visibleJson } from '../../base/text.ts';
import { type AccessEntry, type AccessLog, NEVER } from './access-log.ts';
import { shownPath } from '../http/shown-path.ts';
import { isFailedAnswer } from '../http/classify.ts';

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

/** What an access log records, and where it writes. */
export interface AccessLogOptions {
  readonly process: 'gateway' | 'egress';
  readonly mode: AccessLogMode;
  /** Whether paths are logged with their query, which may contain secrets; default false. */
  readonly query?: boolean;
  /** Writes a whole line. Must not block. */
  write(line: string): void;
  readonly clock: Clock;
  readonly random: Random;
}

/** A structured access log: one line of JSON per request or opaque connection, at its end. */
export function createAccessLog(options: AccessLogOptions): AccessLog {
  return {
    wants: wantsOf(options.mode, options.random),
    record: (entry) => options.write(`${accessLine(entry, options)}\n`),
  };
}

function wantsOf(mode: AccessLogMode, random: Random): AccessLog['wants'] {
  if (mode === 'off') return NEVER;
  if (mode === 'all') return () => true;
  if (mode === 'errors') return isError;
  const { share } = mode;
  return (session, flow, failure) => isError(session, flow, failure) || random() < share;
}

/**
 * Whether a request counts as failed: the proxy refused it or failed, or the target answered with an error.
 */
const isError: AccessLog['wants'] = (_, { status, grpcStatus }, failure) =>
  failure !== undefined || isFailedAnswer(status, grpcStatus);

/**
 * One line, without a line break and what moves a terminal. Durations are in milliseconds with three
 * decimals; unknown fields are omitted.
 */
function accessLine(entry: AccessEntry, { process, query = false, clock }: AccessLogOptions): string {
  const { path } = entry;
  const line = JSON.stringify({
    level: 'info',
    time: new Date(clock.now()).toISOString(),
    process,
    client: entry.client,
    via: entry.via,
    target: entry.target,
    endpoint: entry.endpoint,
    tries: entry.attempts,
    protocol: entry.protocol,
    method: entry.method,
    path: query || path === undefined ? path : shownPath(path),
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
  return visibleJson(line);
}

function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 1000) / 1000;
}

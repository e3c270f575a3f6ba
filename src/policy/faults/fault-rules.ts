import { z } from 'zod';
import { parseDuration } from '../../base/duration.ts';

/** How far ahead fault injection may end: a rule that somebody forgets does its harm for a day at most. */
export const MAX_FAULT_MS = 86_400_000;
const MAX_DELAY_MS = 60_000;
const MAX_RULES = 16;
const MAX_HEADERS = 8;

/**
 * What HTTP clients are told for a gRPC status, and the reverse
 * (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
 */
const HTTP_OF_GRPC: Readonly<Record<number, number>> = {
  1: 499,
  3: 400,
  4: 504,
  5: 404,
  7: 403,
  8: 429,
  9: 400,
  11: 400,
  12: 501,
  14: 503,
  16: 401,
};
const GRPC_OF_HTTP: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};

const duration = z.string().transform((text, context): number => {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0 && ms <= MAX_DELAY_MS) return ms;
  context.addIssue({ code: 'custom', message: `"${text}" is not a time such as 200ms, of up to 1m` });
  return z.NEVER;
});

const headers = z
  .record(
    z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, { error: 'a header name is not one' }),
    z.string(),
    { error: 'not an object of header names and values' },
  )
  .refine((all) => Object.keys(all).length <= MAX_HEADERS, `there are more than ${MAX_HEADERS}`);

const until = (now: number) =>
  z.string().transform((text, context): number => {
    const at = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:\d{2})$/.test(text)
      ? Date.parse(text)
      : Number.NaN;
    const problem = Number.isNaN(at)
      ? `"${text}" is not a time of RFC 3339 such as ${new Date(now + 3_600_000).toISOString().slice(0, 19)}Z`
      : `"${text}" is more than 24 h ahead`;
    if (at <= now + MAX_FAULT_MS) return at;
    context.addIssue({ code: 'custom', message: problem });
    return z.NEVER;
  });

const whole = (low: number, high: number) =>
  z
    .int({ error: `not a whole number from ${low} to ${high}` })
    .min(low, { error: `not a whole number from ${low} to ${high}` })
    .max(high, { error: `not a whole number from ${low} to ${high}` });

const percentError = 'not a number that is more than 0 and at most 100';

/**
 * The rules of fault injection as people write them: `[{ "until": "2026-11-24T12:00:00Z", "percent": 10,
 * "headers": { "x-drill": "yes" }, "delay": "200ms", "jitter": "100ms", "abort": { "status": 503 } }]`.
 * @param now what "24 h ahead" is counted from, milliseconds since the epoch
 */
export function faultRules(now: number) {
  const rule = z
    .strictObject({
      until: until(now),
      percent: z
        .number({ error: percentError })
        .gt(0, { error: percentError })
        .max(100, { error: percentError })
        .default(100),
      headers: headers.default({}),
      delay: duration.optional(),
      jitter: duration.optional(),
      abort: z
        .strictObject({ status: whole(400, 599).optional(), grpc: whole(1, 16).optional() })
        .refine(({ status, grpc }) => status !== undefined || grpc !== undefined, 'neither status nor grpc')
        .optional(),
      reset: z.literal(true, { error: 'can only be true' }).optional(),
    })
    .refine(({ delay, abort, reset }) => delay !== undefined || abort !== undefined || reset !== undefined, {
      error: 'none of delay, abort, reset',
    })
    .refine(({ abort, reset }) => abort === undefined || reset === undefined, {
      error: 'abort and reset exclude each other',
    })
    .refine(({ delay, jitter }) => delay !== undefined || jitter === undefined, {
      error: 'jitter without delay',
    })
    .transform(toRule);
  return z
    .array(rule, { error: 'not a list of rules' })
    .max(MAX_RULES, { error: `more than ${MAX_RULES} rules` });
}

function toRule(written: {
  readonly until: number;
  readonly percent: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly delay?: number | undefined;
  readonly jitter?: number | undefined;
  readonly abort?: { readonly status?: number | undefined; readonly grpc?: number | undefined } | undefined;
  readonly reset?: true | undefined;
}): FaultRule {
  const { until: end, percent, delay = 0, jitter = 0, abort, reset } = written;
  return {
    until: end,
    percent,
    headers: Object.entries(written.headers).map(([name, value]) => ({ name: name.toLowerCase(), value })),
    delayMs: delay,
    jitterMs: jitter,
    ...(abort === undefined ? {} : { abort: bothStatuses(abort) }),
    reset: reset === true,
  };
}

function bothStatuses({ status, grpc }: { status?: number | undefined; grpc?: number | undefined }) {
  return {
    status: status ?? HTTP_OF_GRPC[grpc ?? 0] ?? 500,
    grpc: grpc ?? GRPC_OF_HTTP[status ?? 0] ?? 2,
  };
}

/**
 * What fault injection does to some of the requests for a service. A rule does at least one of `delayMs`,
 * `abort` and `reset`.
 */
export interface FaultRule {
  /** Milliseconds since the epoch; from then on there is no such rule. */
  readonly until: number;
  /** Share of the requests that match: more than 0, up to 100. */
  readonly percent: number;
  /** Fields that a request must have, with exactly these values. Names are in lower case. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  /** How long a request or new raw connection waits; 0 = not at all. */
  readonly delayMs: number;
  /** At most this much is added to the delay, at random. */
  readonly jitterMs: number;
  /** The request gets this answer and is not forwarded. */
  readonly abort?: { readonly status: number; readonly grpc: number };
  /** The request's connection, or with HTTP/2 its stream, is broken. */
  readonly reset: boolean;
}

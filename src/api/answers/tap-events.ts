import { firstProblem } from '../../base/config.ts';
import { z } from 'zod';
import { escapedText, isDnsLabel, listItems } from '../../base/text.ts';

/** The page that streams what passes, one JSON object a line. */
export const TAP_PATH = '/tap';
/** Header with the token by which somebody may look. API servers take `authorization` away on the way. */
export const TAP_TOKEN_HEADER = 'linkspan-tap-token';
/** Audience of such a token: with it nothing else can be done. */
export const TAP_AUDIENCE = 'tap.linkspan.dev';
/** What its account has to have a right to `get`, in the namespace of the target. There is no such kind. */
export const TAP_RIGHT = { group: 'linkspan.dev', resource: 'taps', verb: 'get' } as const;
/** The account whose tokens are asked for, and the ClusterRole that gives it the right. */
export const TAP_ACCOUNT = 'linkspan-tap';
/** Longest time that one may look, milliseconds. */
export const MAX_TAP_MS = 600_000;
/** Most events for each second that may be asked for, and what is without a word. */
export const MAX_TAP_RPS = 1000;
export const DEFAULT_TAP_RPS = 100;

const PROTOCOLS = ['http1', 'http2', 'opaque'] as const;
/** Longest pattern or prefix, and most items of a list. */
const MAX_TEXT = 512;
const MAX_ITEMS = 32;

const text = z.string().min(1).max(MAX_TEXT);
const list = text.transform(listItems).pipe(
  z
    .array(z.string())
    .min(1)
    .max(MAX_ITEMS, { error: `has more than ${MAX_ITEMS} items` }),
);
const statuses = list.pipe(
  z.array(z.string().regex(/^[1-5](xx|\d\d)$/, { error: 'is neither a status nor one such as 5xx' })),
);
const flag = z.literal('true').transform(() => true);
const number = (most: number) => z.coerce.number().positive().max(most);

const query = z.strictObject({
  namespace: z.string().refine(isDnsLabel, { error: 'is no name of a namespace' }).optional(),
  service: text.optional(),
  side: z.enum(['gateway', 'egress']).optional(),
  cluster: text.optional(),
  from: text.optional(),
  to: text.optional(),
  method: list.optional(),
  path: text.optional(),
  status: statuses.optional(),
  failures: flag.optional(),
  minLatencyMs: number(MAX_TAP_MS).optional(),
  protocol: list.pipe(z.array(z.enum(PROTOCOLS))).optional(),
  maxRps: number(MAX_TAP_RPS).default(DEFAULT_TAP_RPS),
  forMs: number(MAX_TAP_MS).default(MAX_TAP_MS),
});

/**
 * Which flows somebody wants to see; what is absent is not asked about. It is data, so that it can be handed
 * to another process.
 */
export interface TapFilter {
  /** Of the target; absent: all namespaces, which takes the right in all of them. */
  readonly namespace?: string | undefined;
  /** Name of the Service, or of the mirror. */
  readonly service?: string | undefined;
  /** Which process; absent: either. */
  readonly side?: 'gateway' | 'egress' | undefined;
  /** Egress: the cluster that it goes to. */
  readonly cluster?: string | undefined;
  /** Identity or address of the client, `*` for any characters. */
  readonly from?: string | undefined;
  /** The same of `namespace/name`, of the name alone, or of the label of the target. */
  readonly to?: string | undefined;
  readonly method?: readonly string[] | undefined;
  /** What the path begins with; the query is no part of it. */
  readonly path?: string | undefined;
  /** Statuses such as `404`, or `5xx`. */
  readonly status?: readonly string[] | undefined;
  /** Only what has failed. */
  readonly failures?: boolean | undefined;
  /** Only what has taken so long to its end, milliseconds. */
  readonly minLatencyMs?: number | undefined;
  readonly protocol?: readonly (typeof PROTOCOLS)[number][] | undefined;
  /** Most events for each second. */
  readonly maxRps: number;
  /** How long to look, milliseconds. */
  readonly forMs: number;
}

/** The filter as a query, with its `?`. */
export function tapQuery(filter: TapFilter): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(filter))
    if (value !== undefined && value !== false) parameters.set(key, String(value));
  return `?${parameters.toString()}`;
}

/** Reads such a query. @throws RangeError that says what is wrong */
export function readTapQuery(asked: URLSearchParams): TapFilter {
  const parsed = query.safeParse(Object.fromEntries(asked));
  if (parsed.success) return parsed.data;
  throw new RangeError(firstProblem(parsed.error));
}

/**
 * Longest word of an event: paths are cut shorter, names are no longer. Processes write words so that they
 * move no terminal and end no line; which one says so is not believed.
 */
const word = z.string().max(4096).transform(escapedText);
const amount = z.number().min(0);
/** Milliseconds since the epoch, as far as a date can be made of them. */
const time = z.number().min(0).max(8.64e15);

const flow = z.object({
  v: z.literal(1),
  /** `open`: it is under way for longer than a second; `flow`, with the same id: it has ended. */
  type: z.enum(['flow', 'open']),
  id: word,
  /** When it was seen, milliseconds since the epoch by the clock of the process. */
  at: time,
  process: z.enum(['gateway', 'egress']),
  /** Where it was seen: `target` at a gateway, `source` at an egress. */
  side: z.enum(['source', 'target']),
  client: z.object({
    /** Gateway: of the certificate, or as a trusted relay has named it. */
    identity: word.optional(),
    address: word.optional(),
    /** Whether the client has proven its identity to this process itself. */
    proven: z.boolean(),
    /** The relay that has named it. */
    via: word.optional(),
  }),
  target: z.object({
    name: word,
    port: word,
    namespace: word.optional(),
    service: word.optional(),
    /** Egress: the mirror, or the Service that leads to several. */
    mirror: word.optional(),
    /** Egress: the cluster that it went to. */
    cluster: word.optional(),
  }),
  /** Egress: address of the gateway that it went to. */
  gateway: word.optional(),
  endpoint: word.optional(),
  protocol: z.enum(PROTOCOLS),
  method: word.optional(),
  path: word.optional(),
  status: amount.optional(),
  grpcStatus: z.number().optional(),
  bytesIn: amount,
  bytesOut: amount,
  firstByteMs: amount.optional(),
  totalMs: amount,
  tries: amount.optional(),
  failure: word.optional(),
  reason: word.optional(),
  fault: word.optional(),
  /** The trace that it is a part of, recorded or not: 32 hexadecimal digits. */
  traceId: word.optional(),
});

/** Why a tap ends. */
export const TAP_ENDS = {
  'time is over': 'it was asked for so long',
  'token expired': 'the token that came with it is valid no longer',
  'right withdrawn': 'the account may not look any more',
  'right not known': 'the API server did not say whether the account may still look',
  'shutting down': 'the process ends',
} as const;
export type TapEnd = keyof typeof TAP_ENDS;

const event = z.discriminatedUnion('type', [
  flow,
  /** So many were left out since the last word of it: the rate was passed, or nobody took them in time. */
  z.object({ v: z.literal(1), type: z.literal('lost'), count: amount }),
  z.object({ v: z.literal(1), type: z.literal('alive') }),
  z.object({ v: z.literal(1), type: z.literal('end'), why: word, message: word.optional() }),
]);

/** A flow as somebody who taps sees it: no field of a head, no body, no query. */
export type TapFlow = z.infer<typeof flow>;
export type TapEvent = z.infer<typeof event>;

/** Reads a line. @throws RangeError for one that is no event of this version */
export function readTapEvent(line: string): TapEvent {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new RangeError('what came is no JSON', { cause: error });
  }
  const parsed = event.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new RangeError(`no event of this version: ${issue?.path.map(String).join('.') ?? ''}`);
}

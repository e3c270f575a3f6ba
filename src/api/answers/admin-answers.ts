import { z } from 'zod';
import type { MirrorReason } from '../reasons/mirror-reasons.ts';
import { type AnswerPage, page } from './answer-page.ts';

/** Whether an address of a gateway answers its probes. */
export type AddressHealth = 'unknown' | 'alive' | 'dead';

/** What is known of one address of a gateway. */
export interface AddressReport {
  readonly address: string;
  readonly state: AddressHealth;
  /** Why the last probe failed. */
  readonly reason?: string | undefined;
  readonly message: string;
  readonly latencyMs?: number | undefined;
  /** Milliseconds since the epoch of the last change of state. */
  readonly since: number;
}

/** The outcome of one request that somebody asked for. */
export interface AddressTry {
  readonly address: string;
  readonly ok: boolean;
  /** Why it failed; empty otherwise. */
  readonly message: string;
  readonly latencyMs: number;
}

/** The outcome of one request from a controller to an address of a gateway. */
export interface GatewayTry extends AddressTry {
  readonly link: string;
  readonly cluster: string;
}

/** Whether a gateway can be reached as flows of an egress pod reach it. */
export interface EgressTry {
  /** `host:port`. */
  readonly gateway: string;
  readonly identity: string;
  readonly ok: boolean;
  /** Why not; empty otherwise. */
  readonly message: string;
  readonly latencyMs: number;
}

/** What one replica knows of one Link. */
export interface LinkReport {
  /** `namespace/name`; `LOCAL`: the source cluster's own members of federated Services. */
  readonly link: string;
  readonly cluster: string;
  /** Whether this replica keeps the Link's mirrors; another one that does knows more. */
  readonly held: boolean;
  /** Why the Link cannot run. */
  readonly problem?: string;
  readonly synced?: boolean;
  /** Why the target's API server cannot be used. */
  readonly apiError?: string;
  /** Why it is parked. */
  readonly overBudget?: string;
  /** Age of the last word from the target, seconds. */
  readonly lastWordSeconds?: number;
  /** RFC 3339: when the credentials end; absent where nothing says so. */
  readonly credentialsExpireAt?: string;
  readonly gateway?: { readonly path: string; readonly addresses: readonly AddressReport[] };
  /** Kinds of the source's own address ranges that are not known, and why. */
  readonly unknownRanges?: readonly string[];
  /** What this replica could not write for others to see, and why. */
  readonly unwritten?: readonly string[];
  readonly mirrors?: readonly ServiceReport[];
  readonly federated?: readonly ServiceReport[];
}

/** One Service of a target and what became of it. */
export interface ServiceReport {
  /** The remote Service, `namespace/name`. */
  readonly service: string;
  /** Name of the Service in the source cluster. */
  readonly local: string;
  readonly mode: string;
  readonly reason: MirrorReason;
  readonly message: string;
  /** What of the export the import policy left out of a mirror that is there. */
  readonly leftOut?: readonly { readonly reason: string; readonly text: string }[];
  /** RFC 3339: since when. */
  readonly since: string;
  /** Addresses that the local Service's slices hold. */
  readonly endpoints: number;
}

/** Everything that is known about one name. */
export interface Explanation {
  readonly link: string;
  readonly cluster: string;
  readonly service: string;
  readonly local: string;
  readonly kind: 'mirror' | 'federated';
  readonly exported: boolean;
  /** What makes it exported. */
  readonly selectedBy: string | null;
  readonly mode: string;
  readonly namespace: string;
  readonly reason: MirrorReason;
  readonly meaning: string;
  readonly message: string;
  readonly remote: { readonly ready: number; readonly known: number; readonly certain: boolean };
  readonly clusterIP: string | null;
  readonly endpoints: readonly string[];
  readonly gateway: LinkReport['gateway'] | null;
  readonly synced: boolean;
  readonly apiError: string | null;
  readonly lastWordSeconds: number | null;
}

const gateway = z.looseObject({
  path: z.string(),
  addresses: z.array(z.looseObject({ address: z.string(), state: z.string(), message: z.string() })),
});
const service = z.looseObject({
  service: z.string(),
  local: z.string(),
  mode: z.string(),
  reason: z.string(),
  message: z.string(),
  since: z.string(),
  endpoints: z.number(),
});
const texts = z.array(z.string());

/** Every Link with all its Services, of a controller. */
export const MIRRORS_PAGE = page<LinkReport>(
  '/mirrors',
  z.looseObject({
    link: z.string(),
    cluster: z.string(),
    problem: z.string().optional(),
    gateway: gateway.optional(),
    unknownRanges: texts.optional(),
    unwritten: texts.optional(),
    mirrors: z.array(service).optional(),
    federated: z.array(service).optional(),
  }),
);

/** One request through every gateway path that a controller probes, sent when it is asked. */
export const CONTROLLER_TRY_PAGE = page<GatewayTry>(
  '/try',
  z.looseObject({
    link: z.string(),
    cluster: z.string(),
    address: z.string(),
    ok: z.boolean(),
    message: z.string(),
  }),
);

/** A connection to every gateway of an egress pod, made when it is asked. */
export const EGRESS_TRY_PAGE = page<EgressTry>(
  '/try',
  z.looseObject({ gateway: z.string(), ok: z.boolean(), message: z.string() }),
);

/** The name to explain. */
export interface ExplainQuestion {
  readonly namespace: string;
  readonly name: string;
}

/** What became of a name, as a controller knows it; the query has the question. */
export const EXPLAIN_PAGE = page<Explanation>(
  '/explain',
  z.looseObject({
    link: z.string(),
    cluster: z.string(),
    service: z.string(),
    local: z.string(),
    kind: z.enum(['mirror', 'federated']),
    exported: z.boolean(),
    namespace: z.string(),
    reason: z.string(),
    meaning: z.string(),
    message: z.string(),
    remote: z.looseObject({ ready: z.number(), known: z.number() }),
    endpoints: texts,
    gateway: gateway.nullish(),
  }),
);

/** The same page with a question. */
export function explainPage({ namespace, name }: ExplainQuestion): AnswerPage<Explanation> {
  const query = new URLSearchParams({ namespace, name });
  return { ...EXPLAIN_PAGE, path: `${EXPLAIN_PAGE.path}?${query.toString()}` };
}

/** The question in a query. */
export function readExplainQuestion(query: URLSearchParams): ExplainQuestion {
  return { namespace: query.get('namespace') ?? 'default', name: query.get('name') ?? '' };
}

import { firstProblem } from '../../base/config.ts';
import { z } from 'zod';

/** Longest label, name or address that is read. */
export const MAX_STATS_TEXT = 512;
/** Most targets and gateways that are read: somewhat more than a process counts one by one. */
const MAX_ROWS = 20_000;

/** No process counts further; sums of what is larger would be no numbers any more. */
const count = z.number().min(0).max(Number.MAX_SAFE_INTEGER);
const text = z.string().max(MAX_STATS_TEXT);
/** How often, by kind. */
const counts = z.record(text, count);

/** The windows that can be asked for, milliseconds. */
export const STATS_WINDOWS = { '10s': 10_000, '1m': 60_000, '10m': 600_000, '30m': 1_800_000 } as const;
export type StatsWindow = keyof typeof STATS_WINDOWS;

const latency = z.object({
  /** Prometheus' resolution of native histograms: 3 is 8 buckets in each octave. */
  schema: z.literal(3),
  sumMs: count,
  /** Index of the first bucket; bucket 0 ends at 1 ms. */
  offset: z.number().int().min(-1024).max(1024),
  counts: z.array(count).max(1024).readonly(),
});

const tcp = z.object({
  opened: count,
  open: count,
  readBytes: count,
  writtenBytes: count,
  /** By error code; the empty one: without an error. */
  closes: counts,
});

const target = z.object({
  /** `name:port`; at an egress `namespace/mirror:port`. */
  label: text,
  /** The Service, or the mirror; empty for what is none of Kubernetes. */
  service: text,
  namespace: text,
  port: text,
  /** Egress: where it leads, if to one other cluster. */
  there: z.object({ cluster: text, name: text }).optional(),
  requests: count,
  inFlight: count,
  /** Responses that have ended, and those among them that failed (5xx; gRPC 2, 4, 7, 13, 14, 15). */
  responses: count,
  failures: count,
  /** What the proxy itself has answered or ended, by kind. */
  errors: counts,
  /** Time to the first byte of responses. */
  latency,
  /**
   * Of those whose time was measured: how many were not sent to an endpoint at once, and how long that took
   * them together, milliseconds. Absent: the version does not say.
   */
  waits: count.optional(),
  waitedMs: count.optional(),
  /** Connections to endpoints that are the target's alone. */
  tcp: tcp.optional(),
  /** Gateway: endpoints in its balancer. */
  endpoints: z.object({ ready: count, known: count }).optional(),
  /** Retries sent, timeouts that ran out, and requests over a limit; absent: none was ever counted. */
  retries: count.optional(),
  timeouts: count.optional(),
  limited: count.optional(),
});

/** Who asks for what. */
const flow = z.object({
  /** Identity of the client; at an egress its address. `other`: clients that are not told apart. */
  peer: text,
  /**
   * Gateway: the cluster that the client's egress says it is in. Only where it is `proven`, by the trust
   * domain of its identity, is it more than what the egress says. Absent: it says nothing.
   */
  from: z.object({ cluster: text, proven: z.boolean() }).optional(),
  /** Label of a target; `other` as above. */
  target: text,
  requests: count,
  inFlight: count,
  failures: count,
  errors: counts,
  /** Body bytes from the client, and to it, of what has ended. */
  bytesIn: count,
  bytesOut: count,
  /** How long ago the last one began, milliseconds. */
  idleMs: count,
  /** What the client has spoken since it was first seen: `http1`, `http2`, `opaque`. */
  protocols: z.array(text).max(8).readonly().optional(),
});

const gateway = z.object({
  cluster: text,
  /** `host:port`; of IPv6 `[host]:port`. */
  address: text,
  state: z.enum(['unknown', 'alive', 'suspect', 'dead']),
  /** The identity that is expected of it. */
  identity: text.optional(),
  /** `streams`: flows share its connections; `header`: each flow has one, as at Linkerd's gateway. */
  mode: z.enum(['unknown', 'streams', 'header']).optional(),
  /** Open connections in stream mode. */
  connections: count.optional(),
  streams: count,
  requests: count,
  failures: count,
  /** Absent: not measured. */
  rttMs: z.object({ mean: count, least: count }).optional(),
});

/** Requests to which retries, timeouts or routes of a ServiceProfile apply. */
const route = z.object({
  /** Label of a target, and a name of its ServiceProfile; empty: none of its routes. */
  target: text,
  route: text,
  requests: count,
  /** As clients got them, after retries; failures by the route's response classes. */
  responses: count,
  failures: count,
  /** Tries, and those that failed. */
  attempts: count,
  failedAttempts: count,
  /** `sent`, `succeeded`, and why none was sent: `exhausted`, `overBudget`, `unreplayable`. */
  retries: counts,
  /** `request`, `response`, `idle`, `try`. */
  timeouts: counts,
  /** Time to the first byte of responses, retries included. */
  latency,
});

const certificate = z.object({
  identity: text,
  /** When it expires, milliseconds since the epoch. */
  notAfter: count,
  /** When the first of the trust anchors expires; absent: none could be read. */
  anchorsNotAfter: count.optional(),
});

/** A collection of the API server that the process follows. */
const sync = z.object({
  kind: text,
  /** How long ago the API server said anything about it, seconds; absent: never. */
  ageS: count.optional(),
  /** Whether it is all there and the API server answers. */
  ok: z.boolean(),
});

/** What was counted in one step of the recent past, of targets that were asked for in it. */
const point = z.object({
  /** When it ended, milliseconds since the epoch, and how long it was. */
  at: count,
  ms: count,
  targets: z
    .array(
      z.object({
        label: text,
        requests: count,
        responses: count,
        failures: count,
        /** What the proxy itself has answered or ended. */
        errors: count,
        /** Absent: nothing was answered. */
        p50Ms: count.optional(),
        p99Ms: count.optional(),
      }),
    )
    .max(MAX_ROWS),
});

const report = z.object({
  v: z.literal(1),
  process: z.enum(['gateway', 'egress']),
  /** Names of its pod, its node and its cluster, where the process was told them. */
  pod: text.optional(),
  node: text.optional(),
  cluster: text.optional(),
  version: text,
  /** When the process began to count, and when it was asked; milliseconds since the epoch, by its clock. */
  startedAt: count,
  at: count,
  /** With `window`: what has been counted is that of so many milliseconds before `at`. */
  windowMs: count.int().optional(),
  /** With `window`: whether that is as long as was asked for; false where the process is younger. */
  complete: z.boolean().optional(),
  /** With `window`: for `since`. */
  cursor: text.optional(),
  /** With `since`: the steps of the window that are newer than the cursor, the oldest first. */
  points: z.array(point).max(64).optional(),
  /** Absent: there is none, or the version does not say. */
  certificate: certificate.optional(),
  sync: z.array(sync).max(256).optional(),
  workers: count,
  targets: z.array(target).max(MAX_ROWS),
  flows: z.array(flow).max(MAX_ROWS),
  routes: z.array(route).max(MAX_ROWS).optional(),
  /** Egress: gateway addresses. */
  gateways: z.array(gateway).max(MAX_ROWS),
});

/**
 * What a gateway or an egress has counted, workers together. Without a window since it started: numbers grow
 * until their target is forgotten, and what happened in a time is the difference of two reports. With one,
 * what was counted in it; what there is now (`inFlight`, `open`, `endpoints`, `streams`) is the same in both.
 */
export type StatsReport = z.infer<typeof report>;
export type TargetStats = StatsReport['targets'][number];
export type FlowStats = StatsReport['flows'][number];
export type GatewayStats = StatsReport['gateways'][number];
export type RouteStats = NonNullable<StatsReport['routes']>[number];
export type StatsPoint = NonNullable<StatsReport['points']>[number];
export type SyncStats = NonNullable<StatsReport['sync']>[number];
export type CertificateStats = NonNullable<StatsReport['certificate']>;

/**
 * The page, for whoever writes it and whoever reads it: `/stats` for all since the start,
 * `/stats?window=10s|1m|10m|30m` for the recent past, with `since=` and a cursor, or nothing, for its steps.
 */
export const STATS_PAGE = {
  path: '/stats',
  /**
   * Fields that this version does not know are left out.
   * @throws RangeError that names what is not as it should be
   */
  read: (body: unknown): StatsReport => {
    const parsed = report.safeParse(body);
    if (parsed.success) return parsed.data;
    throw new RangeError(`the answer of /stats is not one of this version: ${firstProblem(parsed.error)}`);
  },
} as const;

import { z } from 'zod';

/** Longest label, name or address that is read. */
export const MAX_STATS_TEXT = 512;
/** Most targets and gateways that are read: somewhat more than a process counts one by one. */
const MAX_ROWS = 20_000;

const count = z.number().min(0);
const text = z.string().max(MAX_STATS_TEXT);
/** How often, by kind. */
const counts = z.record(text, count);

const latency = z.object({
  /** Prometheus' resolution of native histograms: 3 is 8 buckets in each octave. */
  schema: z.literal(3),
  sumMs: count,
  /** Index of the first bucket; bucket 0 ends at 1 ms. */
  offset: z.number().int(),
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
  /** Connections to endpoints that are the target's alone. */
  tcp: tcp.optional(),
  /** Gateway: endpoints in its balancer. */
  endpoints: z.object({ ready: count, known: count }).optional(),
});

/** Who asks for what. */
const flow = z.object({
  /** Identity of the client; at an egress its address. `other`: clients that are not told apart. */
  peer: text,
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
});

const gateway = z.object({
  cluster: text,
  /** `host:port`; of IPv6 `[host]:port`. */
  address: text,
  state: z.enum(['unknown', 'alive', 'suspect', 'dead']),
  streams: count,
  requests: count,
  failures: count,
  /** Absent: not measured. */
  rttMs: z.object({ mean: count, least: count }).optional(),
});

const report = z.object({
  v: z.literal(1),
  process: z.enum(['gateway', 'egress']),
  version: text,
  /** When the process began to count, and when it was asked; milliseconds since the epoch, by its clock. */
  startedAt: count,
  at: count,
  workers: count,
  targets: z.array(target).max(MAX_ROWS),
  flows: z.array(flow).max(MAX_ROWS),
  /** Egress: gateway addresses. */
  gateways: z.array(gateway).max(MAX_ROWS),
});

/**
 * What a gateway or an egress has counted since it started, workers together. Numbers grow until their target
 * is forgotten; what happened in a time is the difference of two reports.
 */
export type StatsReport = z.infer<typeof report>;
export type TargetStats = StatsReport['targets'][number];
export type FlowStats = StatsReport['flows'][number];
export type GatewayStats = StatsReport['gateways'][number];

/** The page, for whoever writes it and whoever reads it. */
export const STATS_PAGE = {
  path: '/stats',
  /**
   * Fields that this version does not know are left out.
   * @throws RangeError that names what is not as it should be
   */
  read: (body: unknown): StatsReport => {
    const parsed = report.safeParse(body);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const where = issue?.path.map(String).join('.') ?? '';
    throw new RangeError(
      `the answer of /stats is not one of this version: ${where}: ${issue?.message ?? ''}`,
    );
  },
} as const;

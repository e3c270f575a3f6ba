import type { FlowStats, GatewayStats, RouteStats, StatsReport, TargetStats } from './stats-report.ts';

/** Names of fields whose values are of a type. */
type KeysOf<R, T> = { [K in keyof R]-?: NonNullable<R[K]> extends T ? K : never }[keyof R] & string;

/** Numbers that go up and down: what there is now. */
type Gauge = 'connections' | 'idleMs' | 'inFlight' | 'open' | 'streams';
type Plain<R> = Exclude<KeysOf<R, number>, Gauge>;
type Counts = Readonly<Record<string, number>>;
type Named<R> = Exclude<KeysOf<R, Counts>, 'endpoints' | 'rttMs' | 'tcp' | 'there'>;

/** Which fields of an object only grow. */
export interface GrowingFields<R> {
  /** Single numbers. */
  readonly plain: readonly Plain<R>[];
  /** Numbers by name, such as failures by kind. */
  readonly named: readonly Named<R>[];
}

/** How the rows of a kind are told apart, and what of them only grows. */
export interface CountedRows<R> extends GrowingFields<R> {
  readonly key: (row: R) => string;
}

/** All that grow: one that is missing does not compile. */
function growing<R>() {
  return <const P extends readonly Plain<R>[], const N extends readonly Named<R>[]>(
    plain: Plain<R> extends P[number] ? P : never,
    named: Named<R> extends N[number] ? N : never,
  ): GrowingFields<R> => ({ plain, named });
}

/** Of connections to endpoints, `TargetStats.tcp`. */
export const TCP_COUNTS = growing<NonNullable<TargetStats['tcp']>>()(
  ['opened', 'readBytes', 'writtenBytes'],
  ['closes'],
);

type Rows = Pick<StatsReport, 'flows' | 'gateways' | 'targets'> & { readonly routes: readonly RouteStats[] };

/**
 * The rows of a report, for everybody who makes what was counted in a time out of what was counted until
 * then. The first number of each says how busy a row is. Latencies grow, too.
 */
export const COUNTED: { readonly [K in keyof Rows]: CountedRows<Rows[K][number]> } = {
  targets: {
    key: ({ label }) => label,
    ...growing<TargetStats>()(
      ['requests', 'responses', 'failures', 'retries', 'timeouts', 'limited', 'waits', 'waitedMs'],
      ['errors'],
    ),
  },
  flows: {
    key: ({ peer, target, from }) => `${peer}\t${target}\t${from?.cluster ?? ''}`,
    ...growing<FlowStats>()(['requests', 'failures', 'bytesIn', 'bytesOut'], ['errors']),
  },
  gateways: {
    key: ({ cluster, address }) => `${cluster}\t${address}`,
    ...growing<GatewayStats>()(['requests', 'failures'], []),
  },
  routes: {
    key: ({ target, route }) => `${target}\t${route}`,
    ...growing<RouteStats>()(
      ['requests', 'responses', 'failures', 'attempts', 'failedAttempts'],
      ['retries', 'timeouts'],
    ),
  },
};

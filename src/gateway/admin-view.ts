import type { SyncStats } from '../api/answers/stats-report.ts';
import type { TapFilter } from '../api/answers/tap-events.ts';
import type { Clock } from '../base/clock.ts';
import type { TargetSource } from '../discovery/target-spec.ts';
import type { PairNumbers } from '../proxy/metrics/pair-counters.ts';
import type { Health, PartHealth } from '../telemetry/admin.ts';
import type { LastResort } from '../telemetry/last-resort.ts';
import type { LineWriter } from '../telemetry/line-writer.ts';
import type { SpanCounts } from '../telemetry/traces/span-counts.ts';
import type { Gateway } from './gateway.ts';
import { openTap, type TapSink } from '../tap/tap.ts';
import { gatewayTaps } from './gateway-taps.ts';
import type { GatewayNumbers, GatewayReport } from './gateway-metrics.ts';
import { type ReadinessQuery, targetReadiness } from './target-readiness.ts';

/** What a gateway shows on its admin port; the same for one process and for several. */
export interface GatewayAdminView {
  ready(): Health | Promise<Health>;
  report(): GatewayReport | Promise<GatewayReport>;
  /** The same, for metrics. */
  numbers(): GatewayNumbers | Promise<GatewayNumbers>;
  /** What was counted of clients and services together, by workers that run. */
  pairs(): readonly PairNumbers[] | Promise<readonly PairNumbers[]>;
  /** What is followed at the API server. */
  sync(): readonly SyncStats[] | Promise<readonly SyncStats[]>;
  targetReady(question: ReadinessQuery): PartHealth | Promise<PartHealth>;
  setLogLevel(level: string): void;
  /** As `TapOpener.tap`. */
  tap(filter: TapFilter, sink: TapSink): () => void;
}

/** The view of a gateway in this process. */
export function adminViewOf(parts: {
  readonly gateway: Gateway;
  readonly targets: TargetSource;
  readonly lines: LineWriter;
  readonly clock: Clock;
  readonly lastResort: LastResort;
  readonly sync: () => readonly SyncStats[];
  readonly tracing: { readonly counts: SpanCounts };
  readonly setLogLevel: (level: string) => void;
  /** Whether it accepts connections. */
  readonly listening: () => boolean;
}): GatewayAdminView {
  const { gateway, targets, lines, lastResort, tracing } = parts;
  const ofProcess = () => ({
    accessLogDropped: lines.dropped,
    spans: tracing.counts,
    processErrors: lastResort.counts,
  });
  return {
    ready: () => {
      const { ready } = gateway;
      return ready.ok && !parts.listening() ? { ok: false, reason: 'not listening yet' } : ready;
    },
    report: () => ({
      counters: gateway.counters.snapshot(),
      balancers: Object.fromEntries(gateway.balancers),
      ...ofProcess(),
    }),
    numbers: () => ({
      counters: gateway.counters.view(),
      balancers: gateway.balancers,
      ...ofProcess(),
    }),
    pairs: () => gateway.counters.pairs.numbers(),
    sync: parts.sync,
    targetReady: (question) => targetReadiness(targets, question),
    setLogLevel: parts.setLogLevel,
    tap: (filter, sink) => openTap(gatewayTaps(gateway, parts.clock), filter, sink),
  };
}

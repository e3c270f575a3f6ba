import type { CertificateStats, StatsReport } from '../api/answers/stats-report.ts';
import { readVersion } from '../base/version.ts';
import type { Clock } from '../base/clock.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import { anchorsNotAfter } from '../identity/trust/anchor-expiries.ts';
import type { Logger } from '../telemetry/log.ts';
import { Recent } from '../proxy/metrics/recent/recent.ts';

/** What a report says of the process itself. */
export type ProcessStats = Pick<
  StatsReport,
  'pod' | 'node' | 'cluster' | 'version' | 'startedAt' | 'at' | 'certificate'
>;

/** What this cluster is called, where the process was told. */
export function clusterName(env: NodeJS.ProcessEnv): string | undefined {
  return env['LINKSPAN_CLUSTER_NAME'] || undefined;
}

/** What `GET /stats` says of this process, and what it remembers of what was counted. */
export class StatsOfProcess {
  readonly #place: Pick<StatsReport, 'pod' | 'node' | 'cluster'>;
  readonly #identity: Pick<IdentitySource, 'current'>;
  readonly #clock: Clock;
  readonly #startedAt: number;

  /**
   * @param env has `LINKSPAN_POD_NAME`, `LINKSPAN_NODE_NAME`, `LINKSPAN_CLUSTER_NAME`, where they are known
   */
  constructor(options: {
    readonly clock: Clock;
    readonly identity: Pick<IdentitySource, 'current'>;
    readonly env: NodeJS.ProcessEnv;
  }) {
    this.#clock = options.clock;
    this.#identity = options.identity;
    this.#startedAt = options.clock.now();
    const said = { pod: 'LINKSPAN_POD_NAME', node: 'LINKSPAN_NODE_NAME', cluster: 'LINKSPAN_CLUSTER_NAME' };
    const given = Object.entries(said).map(([key, name]) => [key, options.env[name] ?? ''] as const);
    this.#place = Object.fromEntries(given.filter(([, value]) => value !== ''));
  }

  /** As it is now. */
  get now(): ProcessStats {
    const certificate = certificateOf(this.#identity);
    return {
      ...this.#place,
      version: readVersion(),
      startedAt: this.#startedAt,
      at: this.#clock.now(),
      ...(certificate && { certificate }),
    };
  }

  /** What is remembered of reports. */
  remember(read: () => Promise<StatsReport>, log: Logger): Recent {
    const onError = (err: unknown) => log.warn({ err }, 'what was counted could not be read');
    return new Recent({ clock: this.#clock, read, onError });
  }
}

function certificateOf(source: Pick<IdentitySource, 'current'>): CertificateStats | undefined {
  const identity = source.current();
  if (identity === undefined) return undefined;
  const { name, notAfter } = identity;
  const anchors = anchorsNotAfter(identity);
  return { identity: name, notAfter, ...(anchors !== undefined && { anchorsNotAfter: anchors }) };
}

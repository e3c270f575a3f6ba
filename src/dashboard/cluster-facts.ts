import type { StatsPoint } from '../api/answers/stats-report.ts';
import type { ClusterReading } from '../traffic/cluster-reading.ts';
import type { ContextState, ErrorWords } from './snapshot.ts';

/** A Link as the API server has it. */
export interface LinkDetail {
  readonly name: string;
  readonly cluster: string;
  /** `spec.gatewayAddress`. */
  readonly gateway: string;
  readonly conditions: Readonly<
    Record<
      string,
      {
        readonly status: string;
        readonly reason: string;
        readonly message: string;
        readonly since: string | null;
      }
    >
  >;
  readonly keptBy: string | null;
  readonly importPolicy: Readonly<Record<string, string>>;
}

/** The last half hour of one process, in steps that do not overlap, the oldest first. */
export interface RecentPoints {
  readonly pod: string;
  readonly side: 'egress' | 'gateway';
  readonly points: readonly StatsPoint[];
}

/** All that was read of a cluster at once. */
export interface ClusterFacts {
  readonly reading: ClusterReading;
  readonly links: readonly LinkDetail[];
  /** What could not be read, one line each. */
  readonly unread: readonly string[];
  readonly controller: 'ok' | 'absent' | 'silent' | 'unknown';
  readonly recent: readonly RecentPoints[];
}

/** What is shown of a context: what was read last, and how it is now. */
export interface ContextPicture {
  readonly context: string;
  /** Of the installation. */
  readonly namespace: string;
  readonly state: ContextState;
  /** When `facts` were read, milliseconds since the epoch. */
  readonly at: number | null;
  readonly facts: ClusterFacts | undefined;
  readonly error: ErrorWords | null;
  readonly role: string | null;
}

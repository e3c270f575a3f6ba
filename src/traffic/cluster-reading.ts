import type { LinkReport } from '../api/answers/admin-answers.ts';
import type { StatsReport } from '../api/answers/stats-report.ts';
import type { Objective } from '../api/objective.ts';

/** What the context of the kubeconfig is called where none was named. */
export const THIS_CLUSTER = 'this cluster';

/** A part of an installation. */
export type ProcessKind = 'controller' | 'egress' | 'gateway' | 'signer';

/** A pod of an installation, and what its process has said. */
export interface ProcessReading {
  /** Name of the pod. */
  readonly name: string;
  readonly kind: ProcessKind;
  readonly ready: boolean;
  readonly restarts: number;
  /** Undefined: it does not say. */
  readonly version?: string | undefined;
  /** What it counted in the window; undefined: it was not asked, or did not answer. */
  readonly window?: CountedWindow | undefined;
  /** Why it did not answer. */
  readonly silence?: string | undefined;
  /** What the cluster's metrics say that it uses. */
  readonly usage?: { readonly cpu: string; readonly memory: string } | undefined;
}

/** What a process counted in a time. */
export interface CountedWindow {
  /** Its counters are of the window; what is no counter is of its end. */
  readonly report: StatsReport;
  /** How long that was, milliseconds, more than 0. */
  readonly ms: number;
}

/** What is looked at of a Service. */
export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly objective: Objective;
  /** Whether it is exported by label. */
  readonly exported: boolean;
  /** Of a mirror: the cluster that it is of, and the UID of the Service there. */
  readonly mirror?: { readonly cluster: string; readonly remoteUid: string } | undefined;
  /** Endpoints that its slices have, where they were read. */
  readonly endpoints?: Endpoints | undefined;
}

export interface Endpoints {
  readonly ready: number;
  readonly known: number;
}

/** What is looked at of a Link. */
export interface LinkFacts {
  readonly name: string;
  readonly cluster: string;
  /** The worst of its conditions; undefined: all hold, or nothing is known. */
  readonly trouble?: { readonly reason: string; readonly message: string } | undefined;
  readonly mirrors: number | null;
}

/** What was read of one cluster. */
export interface ClusterReading {
  /** What the cluster is called, as far as is known: else the context. */
  readonly cluster: string;
  readonly processes: readonly ProcessReading[];
  readonly services: readonly ServiceFacts[];
  readonly links: readonly LinkFacts[];
  /** What the controllers say of mirrors. */
  readonly reports: readonly LinkReport[];
  /** Pods by their addresses, where they were read. */
  readonly pods: ReadonlyMap<string, { readonly namespace: string; readonly name: string }>;
}

/** How many processes of a kind were asked, and how many answered. */
export interface From {
  readonly asked: number;
  readonly answered: number;
}

/** The processes of a kind that have answered. */
export function answersOf(
  { processes }: ClusterReading,
  kind: ProcessKind,
): (ProcessReading & { readonly window: CountedWindow })[] {
  return processes.filter(
    (one): one is ProcessReading & { window: CountedWindow } => one.kind === kind && one.window !== undefined,
  );
}

export function fromOf({ processes }: ClusterReading, ...kinds: readonly ProcessKind[]): From {
  const asked = processes.filter(({ kind }) => kinds.includes(kind));
  return { asked: asked.length, answered: asked.filter(({ window }) => window !== undefined).length };
}

/** The longest window that a process of these kinds has answered for, seconds. */
export function windowSeconds(reading: ClusterReading, ...kinds: readonly ProcessKind[]): number {
  const all = kinds.flatMap((kind) => answersOf(reading, kind)).map(({ window }) => window.ms);
  return Math.round(Math.max(0, ...all)) / 1000;
}

/**
 * Gives clusters the names that Links have for them: a mirror knows the UID of its Service, and the cluster
 * that has a Service of that UID is the one that the mirror is of. A name that a process was told counts
 * first; without either it stays as it was.
 */
export function withNames(readings: readonly ClusterReading[]): ClusterReading[] {
  const clusterByUid = new Map<string, string>();
  for (const { services } of readings)
    for (const { mirror } of services)
      if (mirror !== undefined && mirror.remoteUid !== '') clusterByUid.set(mirror.remoteUid, mirror.cluster);
  return readings.map((reading) => {
    const told = reading.processes.map(({ window }) => window?.report.cluster).find((name) => name);
    const mirrored = reading.services.map(({ uid }) => clusterByUid.get(uid)).find((name) => name);
    return { ...reading, cluster: told ?? mirrored ?? reading.cluster };
  });
}

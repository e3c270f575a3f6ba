import type { V1Pod } from '@kubernetes/client-node';
import {
  STATS_PAGE,
  STATS_WINDOWS,
  type StatsReport,
  type StatsWindow,
} from '../../api/answers/stats-report.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { componentOf, installedVersion } from '../../api/installed-labels.ts';
import { pods as podKind } from '../../api/kubernetes/resource.ts';
import { OURS } from '../../api/names.ts';
import { type Clock, sleep } from '../../base/clock.ts';
import { inParallel } from '../../base/in-parallel.ts';
import { adminPortOf, isRunning } from '../../check/check-facts.ts';
import { isForbidden } from '../../kube/client/kube-client.ts';
import { askPod } from '../../kube/client/pod-proxy.ts';
import type { ClusterReading, ProcessKind, ProcessReading } from '../../traffic/cluster-reading.ts';
import { keptReports, windowOf } from '../../traffic/stats-window.ts';
import { podWords } from '../queries/pod-words.ts';
import {
  type AskedCluster,
  readSurroundings,
  type Surroundings,
  type Wanted,
} from './traffic-surroundings.ts';

/** Longest time for one process to answer, milliseconds; it answers from memory. */
const ANSWER_MS = 3000;
/** Pods of a cluster that are asked at a time. */
export const PODS_AT_ONCE = 64;
/** How long is looked at where processes keep no history of their own, milliseconds. */
const SAMPLE_MS = 2000;
/** Least time between two reports that a rate is made of, milliseconds. */
const LEAST_MS = 500;
const ANSWERING: ReadonlySet<ProcessKind> = new Set(['egress', 'gateway']);
const KINDS: ReadonlySet<string> = new Set(['controller', 'egress', 'gateway', 'signer']);

export interface TrafficReaderOptions {
  readonly clock: Clock;
  /** What is looked at, milliseconds. */
  readonly windowMs: number;
  /** For one round of questions, milliseconds. */
  readonly timeoutMs: number;
  readonly wanted: Wanted;
  /** What stands around; default: it is read each time. Never throws. */
  readonly surroundings?: () => Promise<Surroundings>;
}

/** What was read of a cluster, and what was not. */
export interface Read {
  readonly reading: ClusterReading;
  /** What could not be read, and why, one line each. */
  readonly unread: readonly string[];
  readonly around: Pick<Surroundings, 'controllersSilent' | 'linkRows'>;
}

interface Asked {
  readonly pod: V1Pod;
  readonly kind: ProcessKind;
  readonly report?: StatsReport | undefined;
  readonly silence?: string | undefined;
  readonly forbidden?: boolean;
}

/**
 * Asks the processes of one cluster, again and again for whoever keeps looking. Those with a history of their
 * own say what was in the window; of others two reports are compared, at the beginning after a short wait.
 */
export class TrafficReader {
  readonly #cluster: AskedCluster;
  readonly #options: TrafficReaderOptions;
  /** Earlier reports of processes that only say totals, the oldest first. */
  readonly #before = new Map<string, StatsReport[]>();

  constructor(cluster: AskedCluster, options: TrafficReaderOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  /** @throws LinkspanError KUBE_…, STATS_FORBIDDEN, STATS_NOT_FOUND when no process of it can be asked */
  async read(): Promise<Read> {
    const { wanted, timeoutMs } = this.#options;
    const surroundings = this.#options.surroundings?.() ?? readSurroundings(this.#cluster, wanted, timeoutMs);
    const first = await this.#ask();
    const asked = await this.#again(first);
    this.#mustAnswer(asked);
    return readOf(this.#cluster.name, this.#windows(asked), await surroundings);
  }

  /** Asks once more where that is needed to know what happens now. */
  async #again(first: readonly Asked[]): Promise<readonly Asked[]> {
    const isNew = ({ pod, report }: Asked) =>
      report !== undefined && report.windowMs === undefined && !this.#before.has(keyOf(pod));
    const isUnread = first.some(isNew);
    const there = new Set(first.map(({ pod }) => keyOf(pod)));
    for (const key of this.#before.keys()) if (!there.has(key)) this.#before.delete(key);
    for (const one of first) this.#remember(one);
    if (!isUnread) return first;
    const { clock, windowMs, timeoutMs } = this.#options;
    await sleep(clock, Math.max(LEAST_MS, Math.min(SAMPLE_MS, windowMs, timeoutMs / 2)));
    const asked = await this.#ask();
    for (const one of asked) this.#remember(one);
    return asked;
  }

  async #ask(): Promise<Asked[]> {
    const items = await this.#pods();
    const known = items.flatMap((pod) => {
      const kind = componentOf(pod) ?? '';
      return KINDS.has(kind) ? [{ pod, kind: kind as ProcessKind }] : [];
    });
    // Those of a node that is lost take all their time, and the others must not wait for them.
    const [ready, others] = [
      known.filter(({ pod }) => isReady(pod)),
      known.filter(({ pod }) => !isReady(pod)),
    ];
    return inParallel([...ready, ...others], PODS_AT_ONCE, (one) => this.#askOne(one));
  }

  async #pods(): Promise<readonly V1Pod[]> {
    const { client, name, namespace } = this.#cluster;
    try {
      return (await client.list(podKind, { namespace, labelSelector: OURS })).items;
    } catch (error) {
      throw isForbidden(error) ? forbiddenBy(name, messageOf(error)) : error;
    }
  }

  async #askOne({ pod, kind }: { pod: V1Pod; kind: ProcessKind }): Promise<Asked> {
    if (!ANSWERING.has(kind)) return { pod, kind };
    const port = adminPortOf(pod);
    if (!isRunning(pod)) return { pod, kind, silence: 'the pod does not run' };
    if (port === 0) return { pod, kind, silence: 'the pod has no admin port' };
    const { client, namespace } = this.#cluster;
    const ms = Math.min(ANSWER_MS, this.#options.timeoutMs);
    try {
      const where = { namespace, pod: pod.metadata?.name ?? '', port };
      const path = `${STATS_PAGE.path}?window=${windowAsked(this.#options.windowMs)}`;
      const answer = await askPod(client, where, path, AbortSignal.timeout(ms));
      return { pod, kind, report: STATS_PAGE.read(answer) };
    } catch (error) {
      return {
        pod,
        kind,
        silence: podWords(error, 'it is of an older version'),
        forbidden: isForbidden(error),
      };
    }
  }

  /** "No traffic" is not to be said where nobody has said anything. */
  #mustAnswer(asked: readonly Asked[]): void {
    const relevant = asked.filter(({ kind }) => ANSWERING.has(kind));
    const { name, namespace } = this.#cluster;
    const [first] = relevant;
    if (first !== undefined && relevant.every(({ forbidden }) => forbidden === true))
      throw forbiddenBy(name, `pods of namespace ${namespace} may not be asked: ${first.silence ?? ''}`);
    if (this.#options.wanted.silent || relevant.some(({ report }) => report !== undefined)) return;
    const what =
      first === undefined
        ? `no pod of a gateway or an egress in namespace ${namespace}`
        : `no pod of a gateway or an egress answers: ${relevant.map(whyOf).join('; ')}`;
    throw new LinkspanError('STATS_NOT_FOUND', `${name}: ${what}`);
  }

  #remember({ pod, report }: Asked): void {
    if (report === undefined || report.windowMs !== undefined) return;
    const key = keyOf(pod);
    this.#before.set(key, keptReports(this.#before.get(key) ?? [], report, this.#options.windowMs));
  }

  #windows(asked: readonly Asked[]): ProcessReading[] {
    return asked.map(({ pod, kind, report, silence: why }): ProcessReading => {
      const before = this.#before.get(keyOf(pod))?.[0];
      const window =
        report === undefined ? undefined : windowOf(report, before === report ? undefined : before);
      const untimed = report !== undefined && window === undefined ? 'it has only just started' : undefined;
      return { ...podFacts(pod, kind), window, silence: why ?? untimed };
    });
  }
}

/** The shortest window that processes know and that has all of it; else the longest. */
export function windowAsked(ms: number): StatsWindow {
  const all = Object.entries(STATS_WINDOWS) as [StatsWindow, number][];
  return all.find(([, length]) => length >= ms)?.[0] ?? '30m';
}

function forbiddenBy(cluster: string, what: string): LinkspanError {
  return new LinkspanError('STATS_FORBIDDEN', `${cluster}: ${what}`);
}

function whyOf({ pod, silence: why = '' }: Asked): string {
  return `${pod.metadata?.name ?? ''}: ${why}`;
}

function keyOf({ metadata }: V1Pod): string {
  return metadata?.uid ?? metadata?.name ?? '';
}

function isReady({ status }: V1Pod): boolean {
  return status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') === true;
}

function podFacts(pod: V1Pod, kind: ProcessKind): Omit<ProcessReading, 'silence' | 'window'> {
  const { containerStatuses = [] } = pod.status ?? {};
  return {
    name: pod.metadata?.name ?? '',
    kind,
    ready: isReady(pod),
    restarts: containerStatuses.reduce((sum, { restartCount }) => sum + restartCount, 0),
    version: installedVersion(pod),
  };
}

function readOf(
  name: string,
  processes: readonly ProcessReading[],
  { unread, usage, linkRows, controllersSilent, ...around }: Surroundings,
): Read {
  const silent = processes.flatMap(({ name: pod, silence: why }) =>
    why === undefined ? [] : [`no answer from ${name}/${pod}: ${why}`],
  );
  const withUsage = processes.map((one) => ({ ...one, usage: usage.get(one.name) }));
  const reading = { cluster: name, processes: withUsage, ...around };
  return {
    reading,
    unread: [...silent, ...unread.map((what) => `not read: ${name}: ${what}`)],
    around: { linkRows, controllersSilent },
  };
}

import type { V1Pod } from '@kubernetes/client-node';
import { STATS_PAGE, type StatsPoint, type StatsReport } from '../../api/answers/stats-report.ts';
import { componentOf, componentSelector } from '../../api/installed-labels.ts';
import { pods } from '../../api/kubernetes/resource.ts';
import type { Clock } from '../../base/clock.ts';
import { inParallel } from '../../base/in-parallel.ts';
import { adminPortOf, isRunning } from '../../check/check-facts.ts';
import type { RecentPoints } from '../../dashboard/cluster-facts.ts';
import { askPod } from '../../kube/client/pod-proxy.ts';
import { PODS_AT_ONCE } from '../traffic/traffic-reader.ts';
import type { AskedCluster } from '../traffic/traffic-surroundings.ts';

/** How often processes are asked for what is new: they make a step in so long, milliseconds. */
const EVERY_MS = 10_000;
const KEPT_MS = 30 * 60_000;
const ANSWER_MS = 3000;
/** Clocks that are apart by less are taken for one, milliseconds. */
const SKEW_MS = 2000;

interface Kept {
  readonly side: 'egress' | 'gateway';
  cursor: string;
  points: readonly StatsPoint[];
}

/** What processes keep of the last half hour: all of it at first, then what is new. */
export class RecentReader {
  readonly #cluster: AskedCluster;
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();
  #due = 0;

  constructor(cluster: AskedCluster, clock: Clock) {
    this.#cluster = cluster;
    this.#clock = clock;
  }

  /**
   * What is known; it is renewed where it is time. Never throws: why processes do not answer is told by
   * whoever asks them for numbers.
   */
  async read(): Promise<readonly RecentPoints[]> {
    if (this.#clock.monotonic() >= this.#due) {
      this.#due = this.#clock.monotonic() + EVERY_MS;
      await this.#renew().catch(() => undefined);
    }
    const oldest = this.#clock.now() - KEPT_MS;
    return [...this.#kept].map(([pod, { side, points }]) => ({
      pod,
      side,
      points: points.filter(({ at }) => at > oldest),
    }));
  }

  async #renew(): Promise<void> {
    const { client, namespace } = this.#cluster;
    const lists = await Promise.all(
      (['gateway', 'egress'] as const).map((component) =>
        client.list(pods, { namespace, labelSelector: componentSelector(component) }),
      ),
    );
    const running = lists.flatMap(({ items }) => items).filter(isRunning);
    const names = new Set(running.map(nameOf));
    for (const name of this.#kept.keys()) if (!names.has(name)) this.#kept.delete(name);
    await inParallel(running, PODS_AT_ONCE, (pod) => this.#ask(pod).catch(() => undefined));
  }

  async #ask(pod: V1Pod): Promise<void> {
    const { client, namespace } = this.#cluster;
    const name = nameOf(pod);
    const side = componentOf(pod) === 'egress' ? 'egress' : 'gateway';
    const kept = this.#kept.get(name) ?? { side, cursor: '', points: [] };
    const where = { namespace, pod: name, port: adminPortOf(pod) };
    const path = `${STATS_PAGE.path}?window=30m&since=${encodeURIComponent(kept.cursor)}`;
    const report = STATS_PAGE.read(await askPod(client, where, path, AbortSignal.timeout(ANSWER_MS)));
    const isAnew = kept.cursor.split('-')[0] !== (report.cursor ?? '').split('-')[0];
    const known = isAnew ? [] : kept.points;
    kept.points = withPoints(known, timed(report, this.#clock.now()));
    kept.cursor = report.cursor ?? '';
    this.#kept.set(name, kept);
  }
}

function nameOf({ metadata }: V1Pod): string {
  return metadata?.name ?? '';
}

/** By our clock: that of a process may be wrong. */
function timed({ at, points = [] }: StatsReport, now: number): readonly StatsPoint[] {
  const skew = now - at;
  return Math.abs(skew) < SKEW_MS ? points : points.map((point) => ({ ...point, at: point.at + skew }));
}

/** A long step stands for the short ones that it was made of. */
export function withPoints(
  known: readonly StatsPoint[],
  newer: readonly StatsPoint[],
): readonly StatsPoint[] {
  let points = [...known];
  for (const point of newer) {
    const from = point.at - point.ms;
    // Steps end when a process came to it, not on the dot.
    points = points.filter(({ at }) => at <= from + point.ms * NEARLY || at > point.at);
    points.push(point);
  }
  return points.sort((a, b) => a.at - b.at);
}

/** A step that ends within the first part of another is the one before it. */
const NEARLY = 0.05;

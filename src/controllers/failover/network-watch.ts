import { keyOf } from '../../api/kubernetes/resource.ts';
import { type LinkObject, links as linkResource } from '../../api/link/link-schema.ts';
import type { Clock } from '../../base/clock.ts';
import { notifyAll } from '../../base/isolation.ts';
import type { EventRecorder } from '../../kube/events/event-recorder.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import type { Logger } from '../../telemetry/log.ts';
import { type PathSince, suspectedDeaths } from '../gateway-health/own-network.ts';

/** What is watched, and who tells. */
export interface NetworkWatchOptions {
  readonly links: IndexedStore<LinkObject>;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  readonly log: Logger;
}

/** Whether this cluster's own network is suspected, as peers ask. */
export interface OwnNetwork {
  readonly suspected: boolean;
  /** A peer's path to its gateway. @param key of its Link */
  see(key: string, path: Omit<PathSince, 'since'>): void;
  /** Its Link is held by this replica no more. */
  forget(key: string): void;
  /** Calls `listener` when `suspected` has changed. @returns what ends that */
  follow(listener: () => void): () => void;
}

const WHAT = 'the own network';

/**
 * Watches whether all gateways die in one moment: those of Links that this replica holds as its probes say,
 * the others as their conditions do.
 */
export class NetworkWatch implements OwnNetwork {
  readonly #options: NetworkWatchOptions;
  /** Here `since` is monotonic: somebody may set the clock between two deaths. */
  readonly #own = new Map<string, PathSince>();
  readonly #listeners = new Set<() => void>();
  readonly #unsubscribe: () => void;
  #suspected: readonly string[] = [];

  constructor(options: NetworkWatchOptions) {
    this.#options = options;
    this.#unsubscribe = options.links.subscribe('own network: Links', () => this.#look());
  }

  get suspected(): boolean {
    return this.#suspected.length > 0;
  }

  see(key: string, { cluster, state }: Omit<PathSince, 'since'>): void {
    if (this.#own.get(key)?.state === state) return;
    this.#own.set(key, { cluster, state, since: this.#options.clock.monotonic() });
    this.#look();
  }

  forget(key: string): void {
    if (this.#own.delete(key)) this.#look();
  }

  follow(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  stop(): void {
    this.#unsubscribe();
    this.#listeners.clear();
  }

  #look(): void {
    const { clock } = this.#options;
    const epoch = clock.now() - clock.monotonic();
    const own = [...this.#own.values()].map((path) => ({ ...path, since: epoch + path.since }));
    // Mostly so: what other replicas say makes no difference then.
    const isWell = own.length === 0 || own.some(({ state }) => state === 'alive');
    const suspected = isWell ? [] : suspectedDeaths([...own, ...this.#others()]);
    const was = this.suspected;
    this.#suspected = suspected;
    if (was === this.suspected) return;
    this.#tell();
    notifyAll(WHAT, this.#listeners);
  }

  /** The paths of Links that other replicas hold. */
  #others(): PathSince[] {
    return this.#options.links.list().flatMap((link) => {
      const condition = this.#own.has(keyOf(link)) ? undefined : gatewayCondition(link);
      const cluster = link.spec?.targetClusterName;
      if (condition === undefined || typeof cluster !== 'string') return [];
      const since = Date.parse(condition.lastTransitionTime);
      const state = condition.status === 'True' ? 'alive' : condition.status === 'False' ? 'dead' : 'unknown';
      return Number.isNaN(since) ? [] : [{ cluster, state, since }];
    });
  }

  #tell(): void {
    const { log, links, events } = this.#options;
    if (!this.suspected) {
      log.info({}, 'own network is not suspected any more');
      return;
    }
    const clusters = this.#suspected;
    log.warn({ clusters, reason: 'OwnNetworkSuspected' }, 'all gateways have died in one moment');
    // One Event for all: on the first Link of these, by whoever holds it.
    const dead = links.list().filter(({ spec }) => clusters.includes(spec?.targetClusterName ?? ''));
    const [first] = dead.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
    if (first === undefined || !this.#own.has(keyOf(first))) return;
    // One that has just started finds it said already.
    if (gatewayCondition(first)?.reason === 'OwnNetworkSuspected') return;
    const { name = '', namespace = '', uid = '' } = first.metadata ?? {};
    events.record({
      regarding: {
        apiVersion: `${linkResource.group}/${linkResource.version}`,
        kind: linkResource.kind,
        name,
        namespace,
        uid,
      },
      type: 'Warning',
      reason: 'OwnNetworkSuspected',
      message: `the gateways of ${clusters.join(', ')} have died in one moment: nothing is withdrawn that nobody else could serve`,
    });
  }
}

function gatewayCondition({ status }: LinkObject) {
  return status?.conditions?.find(({ type }) => type === 'GatewayAlive');
}

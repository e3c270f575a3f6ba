import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { CLUSTER_NAME_LABEL, MIRRORED_SERVICE_LABEL } from '../../../src/api/names.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { KubeClient } from '../../../src/kube/client/kube-client.ts';
import { Reflector } from '../../../src/kube/informer/reflector.ts';
import {
  endpointSlices,
  services,
  type KubeObject,
  type Resource,
} from '../../../src/api/kubernetes/resource.ts';
import { IndexedStore } from '../../../src/kube/informer/store.ts';
import { createLogger } from '../../../src/telemetry/log.ts';

/** Mirrors of one cluster, by `namespace/name` of the mirror Service. */
interface Tally {
  readonly services: Set<string>;
  readonly slices: Set<string>;
  /** With a ready endpoint in a slice. */
  readonly ready: Set<string>;
  /** A Service together with a ready endpoint. */
  readonly complete: Set<string>;
}

interface Waiter {
  readonly holds: () => boolean;
  readonly resolve: (at: number) => void;
}

const PATIENCE_CHECK_MS = 1000;

/** Why something that was waited for did not come. */
export class NeverSeen extends Error {}

/**
 * Watches everything mirrored in the source cluster, so that a moment is the arrival of a watch event and
 * never a poll.
 */
export class MirrorWatch {
  readonly #tallies = new Map<string, Tally>();
  readonly #waiters = new Set<Waiter>();
  #lastEvent = 0;
  readonly #reflectors: { start(): void; stop(): Promise<void>; whenSynced(): Promise<void> }[];

  constructor(client: KubeClient) {
    const labelSelector = `${MIRRORED_SERVICE_LABEL}=true`;
    const log = createLogger({ name: 'bench', level: 'silent' });
    const follow = <T extends KubeObject>(
      resource: Resource<T>,
      take: (object: T, deleted: boolean) => void,
    ) => {
      const store = new IndexedStore<T>();
      store.subscribe('bench', ({ object, type }) => {
        take(object, type === 'deleted');
        this.#tell();
      });
      const common = { clock: systemClock, random: Math.random, log };
      return new Reflector<T>({ ...common, client, resource, labelSelector, store });
    };
    this.#reflectors = [
      follow(services, (service, deleted) => this.#takeService(service, deleted)),
      follow(endpointSlices, (slice, deleted) => this.#takeSlice(slice, deleted)),
    ];
  }

  async start(): Promise<void> {
    for (const reflector of this.#reflectors) reflector.start();
    await Promise.all(this.#reflectors.map((reflector) => reflector.whenSynced()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
  }

  /** How many mirrors of a cluster have their Service and a ready endpoint. */
  complete(cluster: string): number {
    return this.#tally(cluster).complete.size;
  }

  /** How many Services of a cluster have a ready endpoint. */
  ready(cluster: string): number {
    return this.#tally(cluster).ready.size;
  }

  /** Services and slices of a cluster that are still there. */
  left(cluster: string): number {
    const { services, slices } = this.#tally(cluster);
    return services.size + slices.size;
  }

  /** Whether one mirror has its Service and a ready endpoint. */
  has(cluster: string, key: string): boolean {
    return this.#tally(cluster).complete.has(key);
  }

  /** Clusters of which anything was ever seen. */
  get clusters(): string[] {
    return [...this.#tallies.keys()];
  }

  /**
   * When the condition holds: `performance.now()` at the event that made it true, or now. A slow machine is
   * waited for, a standstill is not.
   * @throws NeverSeen when nothing at all has been seen for `patienceMs`, default one minute
   */
  until(what: string, holds: () => boolean, patienceMs = 60_000): Promise<number> {
    if (holds()) return Promise.resolve(performance.now());
    const begun = performance.now();
    return new Promise((resolve, reject) => {
      const timer = setInterval(() => {
        if (performance.now() - Math.max(begun, this.#lastEvent) < patienceMs) return;
        clearInterval(timer);
        this.#waiters.delete(waiter);
        const why = `nothing has been seen for ${Math.round(patienceMs / 1000)} s`;
        reject(new NeverSeen(`waited in vain until ${what}: ${why}`));
      }, PATIENCE_CHECK_MS);
      const waiter: Waiter = {
        holds,
        resolve: (at) => {
          clearInterval(timer);
          resolve(at);
        },
      };
      this.#waiters.add(waiter);
    });
  }

  #tell(): void {
    const now = performance.now();
    this.#lastEvent = now;
    for (const waiter of this.#waiters) {
      if (!waiter.holds()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(now);
    }
  }

  #tally(cluster: string): Tally {
    let tally = this.#tallies.get(cluster);
    if (tally === undefined) {
      tally = { services: new Set(), slices: new Set(), ready: new Set(), complete: new Set() };
      this.#tallies.set(cluster, tally);
    }
    return tally;
  }

  #takeService({ metadata }: V1Service, deleted: boolean): void {
    const tally = this.#tally(metadata?.labels?.[CLUSTER_NAME_LABEL] ?? '');
    const key = `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
    put(tally.services, key, !deleted);
    put(tally.complete, key, !deleted && tally.ready.has(key));
  }

  #takeSlice({ metadata, endpoints }: V1EndpointSlice, deleted: boolean): void {
    const tally = this.#tally(metadata?.labels?.[CLUSTER_NAME_LABEL] ?? '');
    const key = `${metadata?.namespace ?? ''}/${metadata?.labels?.['kubernetes.io/service-name'] ?? ''}`;
    const ready = !deleted && (endpoints ?? []).some((endpoint) => endpoint.conditions?.ready !== false);
    put(tally.slices, key, !deleted);
    put(tally.ready, key, ready);
    put(tally.complete, key, ready && tally.services.has(key));
  }
}

function put(set: Set<string>, key: string, there: boolean): void {
  if (there) set.add(key);
  else set.delete(key);
}

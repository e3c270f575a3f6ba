import type { V1EndpointSlice } from '@kubernetes/client-node';
import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import type { BudgetShare } from '../kube/budget/peer-budget.ts';
import { type PeerReading, reflectorLimits } from '../kube/budget/peer-reading.ts';
import { Reflector } from '../kube/informer/reflector.ts';
import { endpointSlices } from '../api/kubernetes/resource.ts';
import { IndexedStore } from '../kube/informer/store.ts';
import type { Logger } from '../telemetry/log.ts';
import { SERVICE_NAME_LABEL } from './endpoint-slices.ts';
import { storedSlice } from './stored-shape.ts';

export interface HandMadeSlicesOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Limits on what the cluster may make us read and keep, and on the number of watches; default none. */
  readonly limits?: PeerReading | undefined;
  /** Called when a Service's slices have changed, or have become known. */
  onChange(key: string): void;
  /** `error` may have changed. */
  onState(): void;
}

interface Watch {
  readonly store: IndexedStore<V1EndpointSlice>;
  readonly reflector: Reflector<V1EndpointSlice>;
  readonly stop: AbortController;
  readonly budget: BudgetShare<V1EndpointSlice> | undefined;
}

/**
 * Slices that no label selector finds: those of Services without `spec.selector` (a person, an operator or
 * kube's endpointslicemirroring controller made them, and need not have copied the Service's labels), and
 * those of Services that are exported by annotation. Each followed Service has a small watch of its own.
 */
export class HandMadeSlices {
  readonly #options: HandMadeSlicesOptions;
  readonly #watches = new Map<string, Watch>();
  /** Services that wait because the limit of watches is reached; their endpoints are not known. */
  readonly #waiting = new Set<string>();
  readonly #stopping = new Set<Promise<void>>();

  readonly #unsubscribe: (() => void) | undefined;

  constructor(options: HandMadeSlicesOptions) {
    this.#options = options;
    // The limit is shared with other parts of this peer, so there may be room although nothing here has
    // changed.
    this.#unsubscribe = options.limits?.budget.whenWatchFits(() => this.#followWaiting());
  }

  /** Watches the slices of a Service, until `forget`. */
  follow(key: string): void {
    if (this.#watches.has(key)) return;
    if (this.#options.limits?.budget.watchFits === false) this.#waiting.add(key);
    else this.#watches.set(key, this.#watch(key));
    this.#count();
  }

  /** Resumes every watch at once, after the API server was away. */
  refresh(): void {
    for (const { reflector } of this.#watches.values()) reflector.refresh();
  }

  forget(key: string): void {
    this.#waiting.delete(key);
    const watch = this.#watches.get(key);
    if (watch !== undefined) this.#end(key, watch);
    this.#count();
    if (watch !== undefined) this.#followWaiting();
  }

  /** Starts watches for as many waiting Services as the limit allows. */
  #followWaiting(): void {
    for (const next of this.#waiting) {
      if (this.#options.limits?.budget.watchFits === false) return;
      this.#waiting.delete(next);
      this.follow(next);
    }
  }

  #end(key: string, watch: Watch): void {
    this.#watches.delete(key);
    watch.stop.abort();
    watch.budget?.close();
    // Its trouble goes with it.
    this.#options.onState();
    const stopped = watch.reflector.stop().finally(() => this.#stopping.delete(stopped));
    this.#stopping.add(stopped);
  }

  /** Whether the Service's slices have been listed completely. */
  known(key: string): boolean {
    return this.#watches.get(key)?.reflector.synced ?? false;
  }

  slicesOf(key: string): readonly V1EndpointSlice[] {
    return this.#watches.get(key)?.store.list() ?? [];
  }

  /**
   * When each watch last heard from the API server (`clock.now()`). Watches that have not heard yet are left
   * out, as they do not make the others' objects older.
   */
  lastWords(): number[] {
    return [...this.#watches.values()].flatMap(({ reflector }) => reflector.lastHeard ?? []);
  }

  get error(): Error | undefined {
    for (const { reflector } of this.#watches.values()) {
      if (reflector.error !== undefined) return reflector.error;
    }
    return undefined;
  }

  #count(): void {
    this.#options.limits?.budget.countWatches(
      this,
      this.#watches.size,
      this.#watches.size + this.#waiting.size,
    );
  }

  async stop(): Promise<void> {
    this.#waiting.clear();
    this.#unsubscribe?.();
    for (const key of this.#watches.keys()) this.forget(key);
    await Promise.all(this.#stopping);
  }

  #watch(key: string): Watch {
    const { client, clock, random, log, limits } = this.#options;
    const bounds = reflectorLimits<V1EndpointSlice>(limits);
    const [namespace = '', name = ''] = key.split('/');
    const store = new IndexedStore<V1EndpointSlice>();
    const reflector = new Reflector({
      client,
      resource: endpointSlices,
      namespace,
      labelSelector: `${SERVICE_NAME_LABEL}=${name}`,
      transform: storedSlice,
      store,
      clock,
      random,
      log,
      ...bounds,
    });
    const stop = new AbortController();
    const tell = () => {
      if (!stop.signal.aborted) this.#options.onChange(key);
    };
    store.subscribe('exports: EndpointSlices of one Service', tell);
    reflector.subscribe(() => this.#options.onState());
    reflector.start();
    // Rejects when it is stopped first, which is no failure.
    reflector.whenSynced(stop.signal).then(tell, () => undefined);
    return { store, reflector, stop, budget: bounds.budget };
  }
}

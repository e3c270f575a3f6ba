import type { V1Service } from '@kubernetes/client-node';
import { FAILOVER_CONDITIONS } from '../../api/failover/failover-names.ts';
import { identityOf, services } from '../../api/kubernetes/resource.ts';
import { writtenTexts } from '../../api/mirror/failover-texts.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { WatchParts } from '../../kube/informer/watched-kind.ts';

/**
 * Services of users with tiers of their own, or whose status says something of ours. No label finds them, so
 * all Services are looked at, and of the others nothing is kept.
 */
export class TieredServices {
  readonly #store = new IndexedStore<V1Service>();
  readonly #reflector: Reflector<V1Service>;

  constructor(parts: WatchParts) {
    this.#reflector = new Reflector({ ...parts, resource: services, store: this.#store, transform: kept });
  }

  start(): void {
    this.#reflector.start();
  }

  stop(): Promise<void> {
    return this.#reflector.stop();
  }

  /** Whether all of them are known, and not only as they were before an error. */
  get isComplete(): boolean {
    return this.#reflector.synced && this.#reflector.error === undefined;
  }

  keys(): string[] {
    return this.#store.keys();
  }

  has(key: string): boolean {
    return this.#store.get(key) !== undefined;
  }

  /** Calls `listener` with the key of each that came, changed or went. @returns what ends that */
  follow(listener: (key: string) => void): () => void {
    return this.#store.subscribe('apexes: Services with tiers', ({ key }) => listener(key));
  }

  /** Calls `listener` when `isComplete` may have changed. @returns what ends that */
  followState(listener: () => void): () => void {
    return this.#reflector.subscribe(listener);
  }
}

const OURS: ReadonlySet<string> = new Set(Object.values(FAILOVER_CONDITIONS));

function kept(service: V1Service): V1Service | undefined {
  const isTiered = writtenTexts(service.metadata?.annotations).tiers !== undefined;
  const isTold = service.status?.conditions?.some(({ type }) => OURS.has(type)) === true;
  if (isMirrored(service) || (!isTiered && !isTold)) return undefined;
  return { metadata: identityOf(service) };
}

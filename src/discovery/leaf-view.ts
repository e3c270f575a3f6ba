import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import {
  endpointSlices,
  keyOf,
  type KubeObject,
  type Resource,
  services,
} from '../api/kubernetes/resource.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { isExternalName, SERVICE_NAME_LABEL } from '../exports/endpoint-slices.ts';
import { storedService, storedSlice } from '../exports/stored-shape.ts';
import { Patience } from '../kube/informer/patience.ts';
import { Reflector } from '../kube/informer/reflector.ts';
import { IndexedStore } from '../kube/informer/store.ts';
import type { WatchParts } from '../kube/informer/watched-kind.ts';
import type { KnownPort } from '../policy/routing/route-backends.ts';

export interface LeafViewOptions extends WatchParts {
  /** Called with the key of a Service that has changed, or whose slices have. */
  readonly onService: (key: string) => void;
  /** Called when a namespace has become known, or an error may have come or gone. */
  readonly onNamespace: (namespace: string) => void;
}

/** The watches of one namespace. */
interface Followed {
  readonly services: IndexedStore<V1Service>;
  readonly slices: IndexedStore<V1EndpointSlice>;
  readonly reflectors: readonly Pick<Reflector<KubeObject>, 'synced' | 'error' | 'stop'>[];
  readonly patience: Patience;
}

const BY_SERVICE = 'service';

/**
 * Services and EndpointSlices of the namespaces that routes and splits lead to. Backends need not be
 * exported, so no label finds them; namespaces to which nothing leads cost nothing.
 */
export class LeafView {
  readonly #options: LeafViewOptions;
  readonly #followed = new Map<string, Followed>();
  /** The namespaces that each user asks for, and by how many users each is. */
  readonly #wanted = new Map<string, ReadonlySet<string>>();
  readonly #users = new Map<string, number>();
  readonly #stopping = new Set<Promise<unknown>>();

  constructor(options: LeafViewOptions) {
    this.#options = options;
  }

  /** Says which namespaces a user needs from now on, and no others. */
  want(user: string, namespaces: ReadonlySet<string>): void {
    const former = this.#wanted.get(user) ?? new Set();
    if (namespaces.size === 0) this.#wanted.delete(user);
    else this.#wanted.set(user, namespaces);
    for (const namespace of namespaces) {
      if (former.has(namespace)) continue;
      const count = this.#users.get(namespace) ?? 0;
      this.#users.set(namespace, count + 1);
      if (count === 0) this.#follow(namespace);
    }
    for (const namespace of former) {
      if (namespaces.has(namespace)) continue;
      const count = (this.#users.get(namespace) ?? 0) - 1;
      if (count > 0) this.#users.set(namespace, count);
      else this.#end(namespace);
    }
  }

  /** Whether all that is needed is known, or it is known that it cannot be. */
  get settled(): boolean {
    for (const { reflectors, patience } of this.#followed.values())
      if (!reflectors.every(({ synced, error }) => synced || patience.livesWith(error))) return false;
    return true;
  }

  /** The namespaces that were never read, and why, one line each. */
  get unread(): string[] {
    return [...this.#followed].flatMap(([namespace, { reflectors }]) => {
      const missing = reflectors.find(({ synced }) => !synced);
      if (missing === undefined) return [];
      const why = missing.error === undefined ? 'no answer yet' : messageOf(missing.error);
      return [`Services and EndpointSlices of the namespace ${namespace}: ${why}`];
    });
  }

  /** Whether all Services and slices of a namespace are known. */
  knows(namespace: string): boolean {
    return this.#followed.get(namespace)?.reflectors.every(({ synced }) => synced) === true;
  }

  /** What is known of a port of a Service in a namespace that is followed. */
  knownPort(namespace: string, name: string, port: number): KnownPort {
    if (!this.knows(namespace)) return 'unknown';
    const service = this.#followed.get(namespace)?.services.get(keyOf({ namespace, name }));
    if (service === undefined || isExternalName(service)) return 'no service';
    const found = service.spec?.ports?.some((one) => one.port === port && (one.protocol ?? 'TCP') === 'TCP');
    return found === true ? 'known' : 'no port';
  }

  /** A Service with its slices by name; undefined where there is none, or it is not known yet. */
  service(
    namespace: string,
    name: string,
  ): { readonly service: V1Service; readonly slices: readonly V1EndpointSlice[] } | undefined {
    const followed = this.#followed.get(namespace);
    const key = keyOf({ namespace, name });
    const service = followed?.services.get(key);
    if (followed === undefined || service === undefined) return undefined;
    const slices = followed.slices
      .byIndex(BY_SERVICE, key)
      .toSorted((a, b) => ((a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1));
    return { service, slices };
  }

  async stop(): Promise<void> {
    this.#wanted.clear();
    for (const namespace of this.#followed.keys()) this.#end(namespace);
    await Promise.all(this.#stopping);
  }

  #follow(namespace: string): void {
    const { onService } = this.#options;
    const found = new IndexedStore<V1Service>();
    const slices = new IndexedStore<V1EndpointSlice>({ [BY_SERVICE]: (slice) => [serviceKey(slice)] });
    const reflectors = [
      this.#reflector(services, namespace, found, storedService),
      this.#reflector(endpointSlices, namespace, slices, storedSlice),
    ];
    const patience = new Patience(this.#options.clock);
    const followed: Followed = { services: found, slices, reflectors, patience };
    this.#followed.set(namespace, followed);
    found.subscribe('routing: Services', ({ key }) => {
      if (this.#followed.get(namespace) === followed) onService(key);
    });
    slices.subscribe('routing: EndpointSlices', ({ object, previous }) => {
      if (this.#followed.get(namespace) !== followed) return;
      const keys = new Set([serviceKey(object), ...(previous === undefined ? [] : [serviceKey(previous)])]);
      for (const key of keys) onService(key);
    });
  }

  #reflector<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    store: IndexedStore<T>,
    transform: (object: T) => T,
  ): Reflector<T> {
    const { client, clock, random, log, onNamespace } = this.#options;
    const reflector = new Reflector<T>({ client, clock, random, log, resource, namespace, store, transform });
    reflector.subscribe(() => onNamespace(namespace));
    reflector.start();
    return reflector;
  }

  #end(namespace: string): void {
    const { reflectors } = this.#followed.get(namespace) ?? { reflectors: [] };
    this.#followed.delete(namespace);
    this.#users.delete(namespace);
    for (const reflector of reflectors) {
      const stopped = reflector.stop().finally(() => this.#stopping.delete(stopped));
      this.#stopping.add(stopped);
    }
  }
}

function serviceKey({ metadata }: V1EndpointSlice): string {
  return keyOf({ namespace: metadata?.namespace ?? '', name: metadata?.labels?.[SERVICE_NAME_LABEL] ?? '' });
}

import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { endpointSlices, keyOf, services } from '../api/kubernetes/resource.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { isExternalName, SERVICE_NAME_LABEL } from '../exports/endpoint-slices.ts';
import { storedService, storedSlice } from '../exports/stored-shape.ts';
import type { WatchParts } from '../kube/informer/watched-kind.ts';
import { WatchedNamespaces } from '../kube/informer/watched-namespaces.ts';
import type { KnownPort } from '../policy/routing/route-backends.ts';

export interface LeafViewOptions extends WatchParts {
  /** Called with the key of a Service that has changed, or whose slices have. */
  readonly onService: (key: string) => void;
  /** Called when the Services or slices of a namespace have become known, or could not be read yet. */
  readonly onNamespace: (namespace: string) => void;
}

const BY_SERVICE = 'service';

/**
 * Services and EndpointSlices of the namespaces that routes and splits lead to. Backends need not be
 * exported, so no label finds them; namespaces to which nothing leads cost nothing.
 */
export class LeafView {
  readonly #services: WatchedNamespaces<V1Service>;
  readonly #slices: WatchedNamespaces<V1EndpointSlice>;
  /** The namespaces that each user asks for, and by how many users each is. */
  readonly #wanted = new Map<string, ReadonlySet<string>>();
  readonly #users = new Map<string, number>();

  constructor({ onService, onNamespace, ...parts }: LeafViewOptions) {
    this.#services = new WatchedNamespaces(parts, {
      resource: services,
      transform: storedService,
      name: 'routing: Services',
      onChange: ({ key }) => onService(key),
      onNamespace,
    });
    this.#slices = new WatchedNamespaces(parts, {
      resource: endpointSlices,
      indexes: { [BY_SERVICE]: (slice) => [serviceKey(slice)] },
      transform: storedSlice,
      name: 'routing: EndpointSlices',
      onChange: ({ object, previous }) => {
        const keys = new Set([serviceKey(object), serviceKey(previous ?? object)]);
        for (const key of keys) onService(key);
      },
      onNamespace,
    });
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
      if (count > 0) continue;
      this.#services.watch(namespace);
      this.#slices.watch(namespace);
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
    for (const watches of [this.#services, this.#slices])
      for (const [, { settled }] of watches.entries()) if (!settled) return false;
    return true;
  }

  /** The namespaces that were never read, and why, one line each. */
  get unread(): string[] {
    return [...this.#services.entries()].flatMap(([namespace, found]) => {
      const missing = [found, this.#slices.get(namespace)].find((one) => one?.synced === false);
      if (missing === undefined) return [];
      const why = missing.error === undefined ? 'no answer yet' : messageOf(missing.error);
      return [`Services and EndpointSlices of the namespace ${namespace}: ${why}`];
    });
  }

  /** Whether all Services and slices of a namespace are known. */
  knows(namespace: string): boolean {
    return this.#services.get(namespace)?.synced === true && this.#slices.get(namespace)?.synced === true;
  }

  /** What is known of a port of a Service in a namespace that is followed. */
  knownPort(namespace: string, name: string, port: number): KnownPort {
    if (!this.knows(namespace)) return 'unknown';
    const service = this.#services.get(namespace)?.store.get(keyOf({ namespace, name }));
    if (service === undefined || isExternalName(service)) return 'no service';
    const found = service.spec?.ports?.some((one) => one.port === port && (one.protocol ?? 'TCP') === 'TCP');
    return found === true ? 'known' : 'no port';
  }

  /** A Service with its slices by name; undefined where there is none, or it is not known yet. */
  service(
    namespace: string,
    name: string,
  ): { readonly service: V1Service; readonly slices: readonly V1EndpointSlice[] } | undefined {
    const key = keyOf({ namespace, name });
    const service = this.#services.get(namespace)?.store.get(key);
    if (service === undefined) return undefined;
    const slices = (this.#slices.get(namespace)?.store.byIndex(BY_SERVICE, key) ?? []).toSorted((a, b) =>
      (a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1,
    );
    return { service, slices };
  }

  async stop(): Promise<void> {
    this.#wanted.clear();
    this.#users.clear();
    await Promise.all([this.#services.stop(), this.#slices.stop()]);
  }

  #end(namespace: string): void {
    this.#users.delete(namespace);
    this.#services.end(namespace);
    this.#slices.end(namespace);
  }
}

function serviceKey({ metadata }: V1EndpointSlice): string {
  return keyOf({ namespace: metadata?.namespace ?? '', name: metadata?.labels?.[SERVICE_NAME_LABEL] ?? '' });
}

import {
  allowedNamespacesAnnotation,
  allowedNamespacesText,
  readAllowedNamespaces,
} from '../../api/mirror/allowed-namespaces.ts';
import type { V1Namespace } from '@kubernetes/client-node';
import { notifyAll } from '../../base/isolation.ts';
import { AnnotationProblems } from '../../discovery/annotation-problems.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { namespaces } from '../../api/kubernetes/resource.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { PodClientsOptions } from './pod-clients.ts';

/** The annotations of Namespaces about all of their mirrors. */
export interface NamespaceRules {
  /** Further namespaces that may use a namespace's mirrors, `*` = all; undefined without the annotation. */
  allowed(namespace: string): readonly string[] | undefined;
  /**
   * Calls `listener` when that may have changed for a namespace; undefined: for all.
   * @returns what ends the subscription
   */
  subscribe(listener: (namespace: string | undefined) => void): () => void;
  /** Not ok until the Namespaces have been listed. */
  readonly ready: Health;
}

/** No namespace has the annotation. */
export const NO_NAMESPACE_RULES: NamespaceRules = {
  allowed: () => undefined,
  subscribe: () => () => undefined,
  ready: { ok: true, reason: '' },
};

/**
 * The annotation `linkspan.dev/allowed-namespaces` on Namespaces. Unlike one on a mirror it survives when the
 * target unexports a Service and exports it again. Until the Namespaces have been listed, mirrors may be used
 * from their own namespace only.
 */
export class KubeNamespaceRules implements NamespaceRules {
  readonly #store = new IndexedStore<V1Namespace>();
  readonly #reflector: Reflector<V1Namespace>;
  readonly #listeners = new Set<(namespace: string | undefined) => void>();
  readonly #problems: AnnotationProblems;

  constructor(options: PodClientsOptions) {
    this.#problems = new AnnotationProblems(options.log);
    this.#reflector = new Reflector({
      ...options,
      resource: namespaces,
      store: this.#store,
      transform: storedNamespace,
    });
    this.#store.subscribe('egress: rules of Namespaces', ({ type, object }) => {
      const name = object.metadata?.name ?? '';
      const text = type === 'deleted' ? undefined : saidBy(object);
      this.#problems.tell(name, readAllowedNamespaces(text).problems);
      this.#tell(name);
    });
    this.#reflector.subscribe(() => {
      if (this.#reflector.synced) this.#tell(undefined);
    });
  }

  get ready(): Health {
    const { synced, state } = this.#reflector;
    return synced ? { ok: true, reason: '' } : { ok: false, reason: `waiting for Namespaces: ${state}` };
  }

  allowed(namespace: string): readonly string[] | undefined {
    if (!this.#reflector.synced) return [];
    const known = this.#store.get(namespace);
    return known === undefined ? undefined : readAllowedNamespaces(saidBy(known)).namespaces;
  }

  subscribe(listener: (namespace: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    this.#reflector.start();
  }

  stop(): Promise<void> {
    return this.#reflector.stop();
  }

  #tell(namespace: string | undefined): void {
    notifyAll('listeners of Namespaces', this.#listeners, namespace);
  }
}

/** Only Namespaces with the annotation are stored, reduced to it. */
function storedNamespace(namespace: V1Namespace): V1Namespace | undefined {
  const text = saidBy(namespace);
  if (text === undefined) return undefined;
  const { name = '', uid = '', resourceVersion = '' } = namespace.metadata ?? {};
  return { metadata: { name, uid, resourceVersion, annotations: allowedNamespacesAnnotation(text) } };
}

/** Text of the annotation; undefined: the Namespace has none. */
function saidBy({ metadata }: V1Namespace): string | undefined {
  return allowedNamespacesText(metadata?.annotations);
}

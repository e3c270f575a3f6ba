import {
  allowedNamespacesAnnotation,
  allowedNamespacesText,
  readAllowedNamespaces,
} from '../../api/mirror/allowed-namespaces.ts';
import type { V1Namespace } from '@kubernetes/client-node';
import { tellAll } from '../../base/isolation.ts';
import { AnnotationProblems } from '../../discovery/annotation-problems.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { namespaces } from '../../api/kubernetes/resource.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { PodClientsOptions } from './pod-clients.ts';

/** What namespaces say of all their mirrors. */
export interface NamespaceRules {
  /** Namespaces that may use the mirrors of one beside itself, `*` = all; undefined where it says nothing. */
  allowed(namespace: string): readonly string[] | undefined;
  /**
   * Calls `listener` when that may have changed; undefined: of all namespaces.
   * @returns what ends the subscription
   */
  subscribe(listener: (namespace: string | undefined) => void): () => void;
  readonly ready: Health;
}

/** No namespace says anything. */
export const NO_NAMESPACE_RULES: NamespaceRules = {
  allowed: () => undefined,
  subscribe: () => () => undefined,
  ready: { ok: true, reason: '' },
};

/**
 * `linkspan.dev/allowed-namespaces` on Namespaces: what outlives the mirrors, which a target can take away
 * and bring again without the annotations that people had set on them. Until it is known what they say, every
 * mirror is for its own namespace.
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
    tellAll('listeners of Namespaces', this.#listeners, namespace);
  }
}

/** Of Namespaces only those are kept that say something, and of them only that. */
function storedNamespace(namespace: V1Namespace): V1Namespace | undefined {
  const text = saidBy(namespace);
  if (text === undefined) return undefined;
  const { name = '', uid = '', resourceVersion = '' } = namespace.metadata ?? {};
  return { metadata: { name, uid, resourceVersion, annotations: allowedNamespacesAnnotation(text) } };
}

function saidBy({ metadata }: V1Namespace): string | undefined {
  return allowedNamespacesText(metadata?.annotations);
}

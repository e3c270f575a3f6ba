import { type RoutedSpec, leafKey, type TargetSpec } from '../discovery/target-spec.ts';
import { targetKey } from '../api/ports/target-key.ts';
import type { RequestRules } from '../policy/requests/request-rules.ts';
import type { RouteBackend } from '../policy/routing/routing.ts';
import { RoutedTarget, type RoutedTargetOptions } from '../proxy/routing/routed-target.ts';
import type { Target } from '../proxy/upstream/target.ts';

/** A backend of routes: a Service that need not be exported. */
export interface LeafService {
  /** `name:port`. */
  readonly label: string;
  readonly namespace: string;
  /** Undefined: there is none. */
  readonly spec: TargetSpec | undefined;
}

export interface ServiceRoutesOptions extends RoutedTargetOptions {
  /** Name of the Service that was asked for; what follows `<service>.<namespace>` in it is its domain. */
  readonly name: string;
  /** Makes the target of a backend. */
  makeTarget(label: string): Target;
}

/** The routes of an exported Service, and the targets that they lead to. */
export class ServiceRoutes {
  readonly target: RoutedTarget;
  readonly #options: ServiceRoutesOptions;
  readonly #own: Target;
  readonly #leaves = new Map<string, { readonly target: Target; service: LeafService }>();
  readonly #byLabel = new Map<string, LeafService>();

  constructor(options: ServiceRoutesOptions, own: Target) {
    this.#options = options;
    this.#own = own;
    this.target = new RoutedTarget(options, own);
  }

  /** Takes in the rules, and the endpoints of the backends, as they are now. */
  update({ routing, leaves }: RoutedSpec, requests: RequestRules | undefined): void {
    const backends = routing.rules
      .flatMap((rule) => rule.backends)
      .filter(({ invalid }) => invalid === undefined);
    const used = new Set<string>();
    this.#byLabel.clear();
    for (const backend of backends) {
      const key = leafKey(backend);
      if (used.has(key)) continue;
      used.add(key);
      this.#updateLeaf(key, backend, leaves[key]);
    }
    for (const [key, { target }] of this.#leaves) {
      if (used.has(key)) continue;
      this.#leaves.delete(key);
      target.close();
    }
    this.target.update({ routing, requests, target: (backend) => this.#leafOf(backend).target });
  }

  /** The backend of a label; undefined where there is none. */
  leaf(label: string): LeafService | undefined {
    return this.#byLabel.get(label);
  }

  /** Whether a backend is in this namespace. */
  reaches(namespace: string): boolean {
    for (const { service } of this.#leaves.values()) if (service.namespace === namespace) return true;
    return false;
  }

  close(): void {
    for (const { target } of this.#leaves.values()) target.close();
  }

  #updateLeaf(key: string, backend: RouteBackend, spec: TargetSpec | undefined): void {
    const { target } = this.#leafOf(backend);
    const service = { label: target.label, namespace: backend.namespace, spec };
    this.#leaves.set(key, { target, service });
    this.#byLabel.set(target.label, service);
    // A port that declares nothing is taken for one that speaks as the Service that stands before it.
    const protocol = spec?.protocol ?? this.#own.protocol;
    // Retries and timeouts are those of the rule, over all tries.
    target.update(spec?.endpoints ?? [], {
      ...(protocol === undefined ? {} : { protocol }),
      ...(spec?.accrual === undefined ? {} : { accrual: spec.accrual }),
    });
  }

  #leafOf(backend: RouteBackend): { readonly target: Target; service: LeafService } {
    const key = leafKey(backend);
    const known = this.#leaves.get(key);
    if (known !== undefined) return known;
    const { namespace, service, port } = backend;
    const domain = this.#options.name.split('.').slice(2).join('.');
    const label = targetKey(`${service}.${namespace}.${domain}`, port);
    const made = {
      target: this.#options.makeTarget(label),
      service: { label, namespace, spec: undefined },
    };
    this.#leaves.set(key, made);
    return made;
  }
}

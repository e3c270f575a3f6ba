import type { V1Service } from '@kubernetes/client-node';
import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { ALLOWED_NAMESPACES, MIRRORED_SERVICE_LABEL } from '../base/names.ts';
import { AnnotationProblems } from '../discovery/annotation-problems.ts';
import { readRequestAnnotations } from '../discovery/request-annotations.ts';
import type { KubeClient } from '../kube/client.ts';
import { Reflector } from '../kube/reflector.ts';
import { keyOf, type KubeObject, type Resource, services } from '../kube/resource.ts';
import { IndexedStore } from '../kube/store.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';
import { readAllowedNamespaces } from './clients/relay-rule.ts';
import { type LinkFields, type Route, routesOf } from './routes.ts';

type LinkObject = KubeObject & LinkFields;
const links: Resource<LinkObject> = {
  group: 'multicluster.linkerd.io',
  version: 'v1alpha3',
  kind: 'Link',
  plural: 'links',
  namespaced: true,
};

export interface RouteSourceOptions {
  readonly client: KubeClient;
  /** Namespace of the Links. */
  readonly namespace: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly onRoutes: (routes: Map<number, Route>) => void;
}

/** Watches mirrors and Links and tells the routes they ask for. While the API server is away the last known routes stay. */
export class RouteSource {
  readonly #mirrors = new IndexedStore<V1Service>();
  readonly #links = new IndexedStore<LinkObject>();
  readonly #reflectors: {
    start(): void;
    stop(): Promise<void>;
    readonly synced: boolean;
    readonly error: Error | undefined;
  }[];
  readonly #options: RouteSourceOptions;
  readonly #problems: AnnotationProblems;
  #pending = false;

  constructor(options: RouteSourceOptions) {
    this.#options = options;
    this.#problems = new AnnotationProblems(options.log);
    const { client, namespace, clock, random, log } = options;
    const shared = { client, clock, random, log };
    const mirrors = new Reflector({
      ...shared,
      resource: services,
      store: this.#mirrors,
      labelSelector: `${MIRRORED_SERVICE_LABEL}=true`,
    });
    const linkReflector = new Reflector({ ...shared, resource: links, store: this.#links, namespace });
    this.#reflectors = [mirrors, linkReflector];
    this.#mirrors.subscribe(() => this.#changed());
    this.#links.subscribe(() => this.#changed());
    mirrors.subscribe(() => this.#changed());
    linkReflector.subscribe(() => this.#changed());
  }

  get ready(): Health {
    const waiting = this.#reflectors.find(({ synced }) => !synced);
    if (waiting === undefined) return { ok: true, reason: '' };
    return {
      ok: false,
      reason: `waiting for mirrors and Links: ${waiting.error === undefined ? 'listing' : describeError(waiting.error)}`,
    };
  }

  start(): void {
    for (const reflector of this.#reflectors) reflector.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
  }

  /** Many changes of one moment (a first list) make one set of routes. */
  #changed(): void {
    if (this.#pending || this.#reflectors.some(({ synced }) => !synced)) return;
    this.#pending = true;
    queueMicrotask(() => {
      this.#pending = false;
      this.#tellProblems();
      this.#options.onRoutes(routesOf(this.#mirrors.list(), this.#links.list()));
    });
  }

  #tellProblems(): void {
    const mirrors = this.#mirrors.list();
    for (const mirror of mirrors) {
      const { annotations } = mirror.metadata ?? {};
      this.#problems.tell(keyOf(mirror), [
        ...readRequestAnnotations(annotations).problems,
        ...readAllowedNamespaces(annotations?.[ALLOWED_NAMESPACES]).problems,
      ]);
    }
    this.#problems.keepOnly(new Set(mirrors.map(keyOf)));
  }
}

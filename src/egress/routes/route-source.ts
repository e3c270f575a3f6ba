import { allowedNamespacesText, readAllowedNamespaces } from '../../api/mirror/allowed-namespaces.ts';
import type { V1ConfigMap, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { type LinkObject, links } from '../../api/link/link-schema.ts';
import { memberName } from '../../api/mirror/federated-members.ts';
import { MIRRORED_SELECTOR } from '../../api/mirror/mirror-labels.ts';
import { factsAnnotation, factsTextOf } from '../../api/mirror/slice-facts.ts';
import { forEachIsolated } from '../../base/isolation.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import {
  isApexClaim,
  isGroupClaim,
  readShard,
  RECORD_SELECTOR,
  shardName,
  shardOfName,
  type RecordEntry,
} from '../../api/egress/egress-record.ts';
import { AnnotationProblems } from '../../discovery/annotation-problems.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import { configMaps, endpointSlices, identityOf, keyOf, services } from '../../api/kubernetes/resource.ts';
import { SERVICE_NAME_LABEL } from '../../exports/endpoint-slices.ts';
import { BY_SERVICE, sliceService } from '../../exports/slices-by-service.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { RoutedService } from '../../discovery/apex-routing.ts';
import { isApex, type Route } from './route.ts';
import { PacedWork } from './paced-work.ts';
import { mirrorPolicy } from './route-settings.ts';
import { routesOf } from './routes.ts';

/**
 * How long the settings of a deleted mirror still hold, milliseconds: until then the controller has made the
 * mirror again, and its clients' connections go on.
 */
const LATELY_MS = 10_000;

/** Users' Services, and federated ones, that have a port in the record. */
export interface Apexes {
  /** Whether all that is written about them is known; default: always. */
  readonly ready?: Health;
  /** Says which (keys) there are. @param federated those that mirroring made */
  follow(keys: ReadonlySet<string>, federated: ReadonlyMap<string, V1Service>): void;
  of(key: string): RoutedService | undefined;
}

/** Where routes come from, and who is told of them. */
export interface RouteSourceOptions {
  readonly client: KubeClient;
  /** Namespace of the Links and of the record of egress ports. */
  readonly namespace: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** How the requests for users' Services are routed; default: none is. */
  readonly apexes?: Apexes;
  /** Called with all routes, by listening port, whenever one may have changed. */
  readonly onRoutes: (routes: ReadonlyMap<number, Route>) => void;
}

/**
 * Watches the record of egress ports and the Links, and publishes the routes that follow from them. Mirrors
 * are watched only for the settings of their own clients' requests. While the API server cannot be reached
 * the last known routes stay.
 */
export class RouteSource {
  readonly #record = new IndexedStore<V1ConfigMap>();
  /** Parsed entries of the record's ConfigMaps, by object. */
  readonly #shards = new WeakMap<V1ConfigMap, ReadonlyMap<number, RecordEntry>>();
  readonly mirrors = new IndexedStore<V1Service>();
  readonly links = new IndexedStore<LinkObject>();
  /** Slices of federated Services and mirrors, for what they say of failover; without endpoints. */
  readonly slices = new IndexedStore<V1EndpointSlice>({ [BY_SERVICE]: sliceService });
  /** Mirrors that have been deleted lately. */
  readonly #lately = new Map<string, V1Service>();
  readonly #reflectors: {
    start(): void;
    stop(): Promise<void>;
    readonly synced: boolean;
    readonly state: string;
  }[];
  readonly #facts: Reflector<V1EndpointSlice>;
  readonly #options: RouteSourceOptions;
  readonly #problems: AnnotationProblems;
  /** By label of apexes' ports. */
  readonly #leftOut: AnnotationProblems;
  #routes: ReadonlyMap<number, Route> = new Map();
  readonly #work: PacedWork;
  /** Everything was known once when routes were made. */
  #wasReady = false;

  constructor(options: RouteSourceOptions) {
    this.#options = options;
    this.#problems = new AnnotationProblems(options.log);
    this.#leftOut = new AnnotationProblems(options.log);
    // Whoever waits for readiness waits for all routes.
    this.#work = new PacedWork({
      clock: options.clock,
      work: () => this.#make(),
      isPaced: () => this.#wasReady,
    });
    const { client, namespace, clock, random, log } = options;
    const shared = { client, clock, random, log };
    const mirrors = new Reflector({
      ...shared,
      resource: services,
      store: this.mirrors,
      labelSelector: MIRRORED_SELECTOR,
    });
    const linkReflector = new Reflector({ ...shared, resource: links, store: this.links, namespace });
    const record = new Reflector({
      ...shared,
      resource: configMaps,
      store: this.#record,
      namespace,
      labelSelector: RECORD_SELECTOR,
    });
    this.#reflectors = [record, mirrors, linkReflector];
    this.#facts = new Reflector({
      ...shared,
      resource: endpointSlices,
      store: this.slices,
      labelSelector: MIRRORED_SELECTOR,
      transform: storedFacts,
    });
    // Clients may be led to its ports as soon as it is written; the controller writes it at a pace of its
    // own.
    this.#record.subscribe('egress: record of ports', () => this.#changed(true));
    this.mirrors.subscribe('egress: mirrors', ({ type, key, object }) => {
      if (type === 'deleted') this.#remember(key, object);
      this.#changed();
    });
    this.links.subscribe('egress: Links', () => this.#changed());
    for (const reflector of [record, mirrors, linkReflector]) reflector.subscribe(() => this.#changed(true));
  }

  /** When something about the facts of federated Services last came, milliseconds since the epoch. */
  get factsHeard(): number | undefined {
    return this.#facts.lastHeard;
  }

  get ready(): Health {
    const waiting = this.#reflectors.find(({ synced }) => !synced);
    // Not ready before the controller has written the record.
    if (waiting === undefined && this.#record.get(`${this.#options.namespace}/${shardName(0)}`) === undefined)
      return { ok: false, reason: 'waiting for the controller to make the record of egress ports' };
    if (waiting === undefined) return this.#factsReady;
    return {
      ok: false,
      reason: `waiting for mirrors, Links and the record of egress ports: ${waiting.state}`,
    };
  }

  /**
   * It waits for facts, as a cluster may be drained; but without a right to read them it serves as if there
   * were none.
   */
  get #factsReady(): Health {
    const { synced, error, state } = this.#facts;
    if (synced) return { ok: true, reason: '' };
    return { ok: error !== undefined, reason: `all clusters of a group get the same: slices: ${state}` };
  }

  start(): void {
    for (const reflector of [...this.#reflectors, this.#facts]) reflector.start();
  }

  async stop(): Promise<void> {
    this.#work.stop();
    await Promise.all([...this.#reflectors, this.#facts].map((reflector) => reflector.stop()));
  }

  /** The routes of users' Services have changed. */
  apexChanged(): void {
    this.#changed();
  }

  /** All routes are made anew, whatever has changed: who may change something often has to wait. */
  #changed(isUrgent = false): void {
    if (this.#reflectors.every(({ synced }) => synced)) this.#work.soon(isUrgent);
  }

  #make(): void {
    const { apexes } = this.#options;
    this.#tellProblems();
    const record = this.#entries();
    const mirror = (key: string) => this.mirrors.get(key) ?? this.#lately.get(key);
    apexes?.follow(...subjectsOf(record, mirror));
    this.#routes = routesOf({
      record,
      apex: (key) => apexes?.of(key),
      mirror,
      link: (key) => this.links.get(key),
      former: (port) => this.#routes.get(port),
    });
    this.#tellLeftOut();
    this.#options.onRoutes(this.#routes);
    this.#wasReady ||= this.ready.ok && apexes?.ready?.ok !== false;
  }

  /** Whoever wrote their rules learns nothing of it from the status of routes: it is decided here. */
  #tellLeftOut(): void {
    const apexes = [...this.#routes.values()].filter(isApex);
    for (const { label, leftOut = 0 } of apexes)
      this.#leftOut.tell(
        label,
        leftOut === 0 ? [] : [`${leftOut} backends lead nowhere: all apexes of its namespace have too many`],
      );
    this.#leftOut.keepOnly(new Set(apexes.map(({ label }) => label)));
  }

  #remember(key: string, mirror: V1Service): void {
    this.#lately.set(key, mirror);
    const forget = () => {
      if (this.#lately.get(key) !== mirror) return;
      this.#lately.delete(key);
      this.#changed();
    };
    this.#options.clock.after(LATELY_MS, forget, { unref: true });
  }

  #entries(): Map<number, RecordEntry> {
    const found = new Map<number, RecordEntry>();
    for (const object of this.#record.list())
      for (const [port, entry] of this.#entriesOf(object)) found.set(port, entry);
    return found;
  }

  /** The entries of one ConfigMap, parsed once for each version: most changes are in one of them. */
  #entriesOf(object: V1ConfigMap): ReadonlyMap<number, RecordEntry> {
    const known = this.#shards.get(object);
    if (known !== undefined) return known;
    const shard = shardOfName(object.metadata?.name ?? '');
    const entries = shard === undefined ? new Map<number, RecordEntry>() : readShard(shard, object.data);
    this.#shards.set(object, entries);
    return entries;
  }

  #tellProblems(): void {
    const mirrors = this.mirrors.list();
    forEachIsolated('problems of mirrors', mirrors, (mirror) => {
      const { annotations } = mirror.metadata ?? {};
      this.#problems.tell(keyOf(mirror), [
        ...mirrorPolicy(mirror).refused.map(({ problem }) => problem),
        ...readAllowedNamespaces(allowedNamespacesText(annotations)).problems,
      ]);
    });
    this.#problems.keepOnly(new Set(mirrors.map(keyOf)));
  }
}

/** The Services with a port in the record about which rules may be written: users', and federated ones. */
function subjectsOf(
  record: ReadonlyMap<number, RecordEntry>,
  mirror: (key: string) => V1Service | undefined,
): Parameters<Apexes['follow']> {
  const apexes = new Set<string>();
  const federated = new Map<string, V1Service>();
  for (const entry of record.values()) {
    if (isApexClaim(entry)) apexes.add(entry.mirror);
    const service = isGroupClaim(entry) ? mirror(entry.mirror) : undefined;
    if (service !== undefined) federated.set(entry.mirror, service);
  }
  return [apexes, federated];
}

/** What a slice of a federated Service, or of a mirror, says of failover, and whose it is. */
function storedFacts(slice: V1EndpointSlice): V1EndpointSlice | undefined {
  const { labels } = slice.metadata ?? {};
  const facts = factsTextOf([slice]);
  const isFederated = memberName(labels?.[SERVICE_NAME_LABEL] ?? '') !== undefined;
  if (!isFederated && facts === undefined) return undefined;
  return {
    metadata: {
      ...identityOf(slice),
      ...(labels === undefined ? {} : { labels }),
      ...(facts === undefined ? {} : { annotations: factsAnnotation(facts) }),
    },
    addressType: slice.addressType,
    endpoints: [],
  };
}

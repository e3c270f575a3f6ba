import type { V1ConfigMap, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { ExportView } from '../../src/exports/export-view.ts';
import { RECORD_SELECTOR } from '../../src/api/egress/egress-record.ts';
import { Reflector } from '../../src/kube/informer/reflector.ts';
import {
  configMaps,
  endpointSlices,
  endpoints,
  namespaces,
  services,
  type KubeObject,
  type Resource,
} from '../../src/api/kubernetes/resource.ts';
import { IndexedStore } from '../../src/kube/informer/store.ts';
import { WorkerPool } from '../../src/kube/queue/worker-pool.ts';
import { parseLink } from '../../src/api/link/link-schema.ts';
import { IpRanges } from '../../src/base/ip-ranges.ts';
import type { EventNote } from '../../src/kube/events/event-recorder.ts';
import { EgressDemand } from '../../src/controllers/gateway-health/egress-demand.ts';
import { FailoverBook } from '../../src/controllers/failover/failover-book.ts';
import type { LinksFailover } from '../../src/discovery/failover-links.ts';
import { DropGuard } from '../../src/controllers/removals/drop-guard.ts';
import { EgressAllocator } from '../../src/controllers/egress-ports/egress-allocator.ts';
import type { ClaimScope } from '../../src/controllers/egress-ports/egress-table.ts';
import { Witnesses } from '../../src/controllers/gateway-health/witnesses.ts';
import { federatedMembers } from '../../src/controllers/federated/federated-reconciler.ts';
import { serviceIndexes } from '../../src/controllers/reconcile/local-indexes.ts';
import { BY_SERVICE, sliceService } from '../../src/exports/slices-by-service.ts';
import { LinkImports } from '../../src/controllers/imports/link-imports.ts';
import { LocalView } from '../../src/controllers/reconcile/local-view.ts';
import type { Inspection } from '../../src/controllers/import-reconciler/import-reconciler.ts';
import { serviceMirrors } from '../../src/controllers/mirror/service-mirrors.ts';
import { PRIORITY, type Outcome } from '../../src/controllers/reconcile/reconciler.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { apiError, FakeCluster } from './fake-cluster.ts';
import { aliveGateway } from './mirror-facts.ts';
import { settle, VirtualClock } from './virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const READY = { addresses: ['10.9.0.1'], conditions: { ready: true } };

/** Something that happens: over there, here by hand, or to the connections in between. */
export type Happening =
  | { readonly kind: 'export'; readonly name: string; readonly port: number; readonly ready: boolean }
  | { readonly kind: 'pods'; readonly name: string; readonly pods: Pods }
  | {
      readonly kind: 'unexport' | 'delete' | 'join' | 'drift' | 'drop' | 'disown' | 'hold' | 'look';
      readonly name: string;
    }
  | { readonly kind: 'cut' | 'compact' | 'fail' | 'lose' | 'refuse' | 'restart' };

/** Pods of a headless Service: none, a Deployment's (without host names), or a StatefulSet's. */
export type Pods = 'none' | 'anonymous' | 'named';

/** A source and a target in memory, with the writers of one Link between them. */
export class MirrorWorld {
  readonly clock = new VirtualClock();
  readonly source = new FakeCluster();
  readonly target = new FakeCluster();
  /** What is decided about groups, and what Links say. */
  /** What Links say about failover. */
  said: LinksFailover = new Map();
  /** What egress pods have said about requests. */
  readonly demand = new EgressDemand();
  readonly failover = new FailoverBook(saidOf(this), this.demand);
  /** What people were told about federated Services. */
  readonly events: EventNote[] = [];
  /** Calls to the source's API server: reads of one object, and writes. */
  calls = 0;
  /**
   * How often something was decided about an export or a member since the controller began: for each decision
   * it is asked once where the egress is.
   */
  decisions = 0;
  #stop = new AbortController();
  readonly #parts: { stop(): Promise<unknown> }[] = [];
  readonly #random: () => number;
  #mirrors: ReturnType<typeof serviceMirrors> | undefined;
  #members: ReturnType<typeof federatedMembers> | undefined;
  readonly #relay: boolean;
  readonly #flat: boolean;
  #apiLost = false;
  readonly #witnesses: Witnesses;
  #look: (key: string) => void = () => undefined;
  #resync: () => void = () => undefined;
  #gateway = aliveGateway();

  /**
   * @param relay mirrors and federated Services lead to the egress, and hold ports of it
   * @param flat federated Services lead to the pods of the target
   */
  constructor(
    random: () => number,
    { relay = false, flat = false }: { readonly relay?: boolean; readonly flat?: boolean } = {},
  ) {
    this.#random = random;
    this.#relay = relay;
    this.#flat = flat;
    this.#witnesses = new Witnesses({
      clock: this.clock,
      path: () => this.#gateway.path,
      apiLost: () => this.#apiLost,
    });
    this.source.put('namespaces', { metadata: { name: 'demo', uid: 'ns' } });
    // Two objects of a user, under names that mirroring would like.
    this.source.put('services', {
      metadata: { name: 'c-west', namespace: 'demo', uid: 'mine' },
      spec: { ports: [{ port: 1 }] },
    } as V1Service);
    this.source.put('services', {
      metadata: { name: 'b-federated', namespace: 'demo', uid: 'mine2' },
      spec: { ports: [{ port: 2 }] },
    } as V1Service);
    this.#let();
    this.#start();
  }

  /** The controller begins, knowing nothing. */
  #start(): void {
    this.#stop = new AbortController();
    this.decisions = 0;
    const common = { clock: this.clock, random: () => 0.5, log };
    const view = new LocalView(
      {
        services: new IndexedStore(serviceIndexes),
        endpointSlices: new IndexedStore({ [BY_SERVICE]: sliceService }),
        endpoints: new IndexedStore(),
        namespaces: new IndexedStore(),
      },
      this.clock,
    );
    const follow = <T extends KubeObject>(
      resource: Resource<T>,
      store: IndexedStore<T>,
      labelSelector?: string,
    ) => {
      const reflector = new Reflector({
        ...common,
        client: this.source.client,
        resource,
        store,
        ...(labelSelector === undefined ? {} : { labelSelector }),
      });
      reflector.start();
      this.#parts.push(reflector);
    };
    const mirrored = 'mirror.linkerd.io/mirrored-service=true';
    follow(services, view.stores.services, mirrored);
    follow(endpointSlices, view.stores.endpointSlices, mirrored);
    follow(endpoints, view.stores.endpoints, mirrored);
    follow(namespaces, view.stores.namespaces);
    const exports = new ExportView({ ...common, client: this.target.client, selectors: ['exported=true'] });
    const members = new ExportView({
      ...common,
      client: this.target.client,
      selectors: ['federated=member'],
    });
    const verdict = parseLink({
      metadata: { name: 'west', namespace: 'links', uid: 'link' },
      spec: {
        targetClusterName: 'west',
        clusterCredentialsSecret: 'x',
        selector: { matchLabels: { exported: 'true' } },
        federatedServiceSelector: { matchLabels: { federated: 'member' } },
      },
    });
    if (!verdict.ok) throw new Error('the Link is fine');
    const rules = { excludedLabel: () => false, excludedAnnotation: () => false };
    const record = new IndexedStore<V1ConfigMap>();
    follow(configMaps, record, RECORD_SELECTOR);
    const egress = new EgressAllocator({
      ...common,
      client: this.source.client,
      namespace: 'links',
      store: record,
    });
    this.#parts.push(egress);
    const guard = new DropGuard({ fraction: 1 });
    const writing = {
      ...common,
      client: this.source.client,
      view,
      pool: new WorkerPool({ size: 8 }),
      concurrency: 4,
      signal: this.#stop.signal,
      guard,
      linkImports: new LinkImports({
        policy: verdict.link.imports,
        controlNamespaces: new Set(),
        createNamespaces: false,
        rules,
        cluster: 'west',
        own: { ranges: { pod: new IpRanges([]), service: new IpRanges([]), node: new IpRanges([]) } },
        guard,
        view,
        clock: this.clock,
      }),
      egress,
      egressAddresses: () => {
        this.decisions++;
        return this.#relay ? [{ ip: '10.2.0.50' }] : [];
      },
      onOutcome: () => undefined,
    };
    const mirrors = serviceMirrors({
      ...writing,
      link: verdict.link,
      facts: {
        cluster: 'west',
        link: 'links/west',
        clusterDomain: 'cluster.local',
        dataPath: this.#relay ? 'relay' : 'gateway',
        rules,
        writeEndpoints: false,
        flatEndpoints: false,
        headless: true,
        createNamespaces: false,
      },
      exports,
      gatewayOf: () => this.#gateway,
      hostGraceMs: 0,
    });
    const federated = federatedMembers({
      ...writing,
      member: 'west',
      link: 'links/west',
      members,
      rules,
      createNamespaces: false,
      clusterDomain: 'cluster.local',
      union: this.#relay ? 'relay' : this.#flat ? 'pods' : 'none',
      witnesses: this.#witnesses,
      publishesFacts: this.#relay,
      failover: this.#relay ? this.failover : undefined,
      events: { record: (note: EventNote) => void this.events.push(note) },
      gatewayOf: () => this.#gateway,
      ageOf: () => '1',
    });
    this.#mirrors = mirrors;
    this.#members = federated;
    this.#parts.push(mirrors, federated, exports, members);
    this.#resync = () => {
      mirrors.resync(PRIORITY.change);
      federated.resync(PRIORITY.change);
    };
    this.#look = (key) => {
      mirrors.inspect(key);
      federated.inspect(key);
    };
    const claimChanged = ({ export: key, federated: isMember }: ClaimScope) =>
      (isMember ? federated : mirrors).reconciler.add(key, PRIORITY.change);
    egress.follow('links/west', claimChanged);
    mirrors.start();
    federated.start();
    exports.start();
    members.start();
    void exports.whenSynced().then(
      () => {
        mirrors.resyncUnexported(PRIORITY.bulk);
        for (const scope of egress.scopes('links/west')) claimChanged(scope);
      },
      () => undefined,
    );
    void members.whenSynced().then(
      () => federated.resyncUnexported(PRIORITY.bulk),
      () => undefined,
    );
  }

  /** The gateway of the target answers its probes from now on, or does not any more. */
  set gateway(path: 'alive' | 'dead' | 'unknown' | 'doubted') {
    this.#gateway =
      path === 'doubted'
        ? aliveGateway({ path: 'dead', alive: [], doubted: true })
        : aliveGateway({ path, alive: path === 'alive' ? ['10.0.0.1'] : [] });
    this.#witnesses.look();
    this.#resync();
  }

  /** The target's API server gives no answer from now on, or does again. */
  set apiLost(lost: boolean) {
    this.#apiLost = lost;
    this.#witnesses.look();
    this.#resync();
  }

  /** A member of a federated Service in the target, with so many pods, of which so many are ready. */
  member(name: string, pods: number, ready = pods, terminating = false): void {
    const labels = { federated: 'member' };
    const before = this.target.all<V1Service>('services').get(`demo/${name}`);
    if (before === undefined)
      this.target.put('services', {
        metadata: { name, namespace: 'demo', uid: `uid-${name}`, labels },
        spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
      } as V1Service);
    const endpoints = Array.from({ length: pods }, (_, at) => ({
      addresses: [`10.9.0.${at + 1}`],
      conditions:
        terminating && at >= ready
          ? { ready: false, serving: true, terminating: true }
          : { ready: at < ready },
    }));
    this.#slice(name, labels, endpoints);
  }

  /** What was decided about each export. */
  get outcomes(): ReadonlyMap<string, Outcome> {
    return this.#mirrors?.reconciler.outcomes ?? new Map<string, Outcome>();
  }

  /** What was decided about each member of a federated Service. */
  get memberOutcomes(): ReadonlyMap<string, Outcome> {
    return this.#members?.reconciler.outcomes ?? new Map<string, Outcome>();
  }

  /** What the reconciler of mirrors keeps of an export. */
  inspect(key: string): Inspection | undefined {
    return this.#mirrors?.inspect(key);
  }

  async happen(what: Happening): Promise<void> {
    if (what.kind === 'export') this.#export(what.name, what.port, what.ready);
    else if (what.kind === 'pods') this.#headless(what.name, what.pods);
    else if (what.kind === 'restart') await this.#restart();
    else if (what.kind === 'look') this.#look(`demo/${what.name}`);
    else if ('name' in what) this.#toService(what.kind, what.name);
    else this.#toConnections(what.kind);
  }

  /** Lets everything come to rest: no failure any more, time for every back-off. */
  async rest(): Promise<void> {
    this.#let();
    this.#release();
    await this.pass();
  }

  /** Time for every back-off, whatever is wrong meanwhile. */
  async pass(): Promise<void> {
    for (let round = 0; round < 6; round++) {
      await this.clock.advance(31_000);
      await settle(10);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error('over'));
    const stopped = Promise.all(this.#parts.splice(0).map((part) => part.stop()));
    for (let round = 0; round < 5; round++) await this.clock.advance(1000);
    await stopped;
  }

  async #restart(): Promise<void> {
    await this.close();
    this.#start();
  }

  /** Nothing fails. */
  #let(): void {
    this.target.beforeCall = () => undefined;
    this.source.beforeCall = () => void this.calls++;
    for (const cluster of [this.source, this.target]) cluster.afterWrite = () => undefined;
  }

  /** No finalizer holds anything any more. */
  #release(): void {
    for (const service of this.source.all<V1Service>('services').values()) {
      const { name = '', namespace = '', finalizers, deletionTimestamp } = service.metadata ?? {};
      if (finalizers === undefined) continue;
      if (deletionTimestamp !== undefined) this.source.remove('services', namespace, name);
      else this.source.put('services', { ...service, metadata: { ...service.metadata, finalizers: [] } });
    }
  }

  #headless(name: string, pods: Pods): void {
    const labels = { exported: 'true' };
    const before = this.target.all<V1Service>('services').get(`demo/${name}`);
    this.target.put('services', {
      metadata: { name, namespace: 'demo', uid: before?.metadata?.uid ?? `uid-${name}`, labels },
      spec: {
        clusterIP: 'None',
        selector: { app: name },
        ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      },
    } as V1Service);
    const endpoint = {
      addresses: ['10.9.0.1'],
      conditions: { ready: true },
      ...(pods === 'named' ? { hostname: `0-${name}` } : {}),
    };
    this.#slice(name, labels, pods === 'none' ? [] : [endpoint]);
  }

  #export(name: string, port: number, ready: boolean): void {
    const before = this.target.all<V1Service>('services').get(`demo/${name}`);
    const labels = { ...before?.metadata?.labels, exported: 'true' };
    const spec = { selector: { app: name }, ports: [{ name: 'http', port, protocol: 'TCP' }] };
    this.target.put('services', {
      metadata: { name, namespace: 'demo', uid: before?.metadata?.uid ?? `uid-${name}-${port}`, labels },
      spec,
    } as V1Service);
    this.#slice(name, labels, ready ? [READY] : []);
  }

  #slice(name: string, labels: Record<string, string>, pods: V1EndpointSlice['endpoints']): void {
    this.target.put('endpointslices', {
      metadata: {
        name: `${name}-1`,
        namespace: 'demo',
        uid: `slice-${name}`,
        labels: { ...labels, 'kubernetes.io/service-name': name },
      },
      addressType: 'IPv4',
      endpoints: pods,
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    } as V1EndpointSlice);
  }

  #toService(kind: string, name: string): void {
    const remote = this.target.all<V1Service>('services').get(`demo/${name}`);
    const mirror = this.source.all<V1Service>('services').get(`demo/${name}-west`);
    if (kind === 'delete') {
      this.target.remove('services', 'demo', name);
      this.target.remove('endpointslices', 'demo', `${name}-1`);
    } else if ((kind === 'unexport' || kind === 'join') && remote !== undefined) {
      const labels = kind === 'join' ? { ...remote.metadata?.labels, federated: 'member' } : {};
      this.target.put('services', { ...remote, metadata: { ...remote.metadata, labels } });
      this.#slice(name, labels as Record<string, string>, [READY]);
    } else if (kind === 'drift' && mirror?.metadata?.uid !== 'mine' && mirror !== undefined) {
      this.source.put('services', {
        ...mirror,
        spec: { ...mirror.spec, ports: [{ name: 'x', port: 9 }] },
      } as V1Service);
    } else if (kind === 'drop' && mirror !== undefined && mirror.metadata?.uid !== 'mine') {
      this.source.remove('services', 'demo', `${name}-west`);
    } else if (kind === 'hold' && mirror !== undefined && mirror.metadata?.uid !== 'mine') {
      this.source.put('services', {
        ...mirror,
        metadata: { ...mirror.metadata, finalizers: ['example.com/cleanup'] },
      } as V1Service);
    } else if (kind === 'disown') {
      this.source.remove('endpointslices', 'demo', `${name}-west-linkspan-ipv4`);
    }
  }

  #toConnections(kind: string): void {
    // A policy on Services, until there is rest.
    if (kind === 'refuse')
      this.source.beforeCall = (verb, plural) => {
        this.calls++;
        if (plural === 'services' && verb === 'patch') throw apiError(403, 'Forbidden');
      };
    for (const cluster of [this.source, this.target]) {
      if (kind === 'cut' || kind === 'compact') cluster.cutWatches();
      if (kind === 'compact') cluster.compact();
      if (kind === 'fail') cluster.beforeCall = () => this.#sometimes('refused');
      // The write was carried out, but nobody hears of it.
      if (kind === 'lose') cluster.afterWrite = () => this.#sometimes('answer lost');
    }
  }

  #sometimes(why: string): void {
    if (this.#random() < 0.4) throw new Error(why);
  }
}

/** What Links say, as it is when it is asked for. */
function saidOf(world: { said: LinksFailover }): { readonly said: LinksFailover } {
  return {
    get said() {
      return world.said;
    },
  };
}

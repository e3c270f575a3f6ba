import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import fc from 'fast-check';
import { ExportView } from '../../../src/discovery/export-view.ts';
import { Reflector } from '../../../src/kube/reflector.ts';
import {
  endpointSlices,
  endpoints,
  namespaces,
  services,
  type KubeObject,
  type Resource,
} from '../../../src/kube/resource.ts';
import { IndexedStore } from '../../../src/kube/store.ts';
import { WorkerPool } from '../../../src/kube/worker-pool.ts';
import { parseLink } from '../../../src/link/schema.ts';
import { IpRanges } from '../../../src/base/ip-ranges.ts';
import { DropGuard } from '../../../src/mirror/drop-guard.ts';
import { EgressAllocator } from '../../../src/mirror/egress-allocator.ts';
import { FederatedWriter } from '../../../src/mirror/federated-writer.ts';
import { BY_SERVICE, serviceIndexes, sliceService } from '../../../src/mirror/local-indexes.ts';
import { Importer } from '../../../src/mirror/importer.ts';
import { LocalView } from '../../../src/mirror/local-view.ts';
import { MirrorWriter } from '../../../src/mirror/mirror-writer.ts';
import { PRIORITY } from '../../../src/mirror/reconciler.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { FakeCluster } from '../../support/fake-cluster.ts';
import { aliveGateway } from '../../support/mirror-facts.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const NAMES = ['a', 'b', 'c'];

/** Something that happens: over there, here by hand, or to the connections in between. */
type Happening =
  | { readonly kind: 'export'; readonly name: string; readonly port: number; readonly ready: boolean }
  | { readonly kind: 'unexport' | 'delete' | 'join' | 'drift' | 'drop' | 'disown'; readonly name: string }
  | { readonly kind: 'cut' | 'compact' | 'fail' | 'lose' };

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('export' as const),
      name: fc.constantFrom(...NAMES),
      port: fc.integer({ min: 80, max: 83 }),
      ready: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'unexport' as const,
        'delete' as const,
        'join' as const,
        'drift' as const,
        'drop' as const,
        'disown' as const,
      ),
      name: fc.constantFrom(...NAMES),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('cut' as const, 'compact' as const, 'fail' as const, 'lose' as const),
    }),
  },
);

/** A source and a target in memory, with the writers of one Link between them. */
class World {
  readonly clock = new VirtualClock();
  readonly source = new FakeCluster();
  readonly target = new FakeCluster();
  readonly #stop = new AbortController();
  readonly #parts: { stop(): Promise<unknown> }[] = [];
  readonly #mirrors: MirrorWriter;
  readonly #federated: FederatedWriter;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
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
    const egress = new EgressAllocator({
      ...common,
      client: this.source.client,
      namespace: 'links',
      store: new IndexedStore(),
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
      importer: new Importer({
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
      egressAddresses: () => [],
      onOutcome: () => undefined,
    };
    this.#mirrors = new MirrorWriter({
      ...writing,
      link: verdict.link,
      facts: {
        cluster: 'west',
        link: 'links/west',
        clusterDomain: 'cluster.local',
        dataPath: 'gateway',
        rules,
        writeEndpoints: false,
        flatEndpoints: false,
        headless: false,
        createNamespaces: false,
      },
      exports,
      gatewayOf: () => aliveGateway(),
      hostGraceMs: 0,
    });
    this.#federated = new FederatedWriter({
      ...writing,
      member: 'west',
      link: 'links/west',
      members,
      rules,
      createNamespaces: false,
      clusterDomain: 'cluster.local',
      union: 'none',
      gatewayOf: () => aliveGateway(),
      ageOf: () => '1',
    });
    this.#parts.push(this.#mirrors, this.#federated, exports, members);
    this.#mirrors.start();
    this.#federated.start();
    exports.start();
    members.start();
    void exports.whenSynced().then(
      () => this.#mirrors.resync(PRIORITY.bulk),
      () => undefined,
    );
    void members.whenSynced().then(
      () => this.#federated.resync(PRIORITY.bulk),
      () => undefined,
    );
  }

  happen(what: Happening): void {
    if (what.kind === 'export') this.#export(what.name, what.port, what.ready);
    else if ('name' in what) this.#toService(what.kind, what.name);
    else this.#toConnections(what.kind);
  }

  /** Lets everything come to rest: no failure any more, time for every back-off. */
  async rest(): Promise<void> {
    for (const cluster of [this.source, this.target]) {
      cluster.beforeCall = () => undefined;
      cluster.afterWrite = () => undefined;
    }
    for (let round = 0; round < 6; round++) {
      await this.clock.advance(31_000);
      await settle(10);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error('over'));
    const stopped = Promise.all(this.#parts.map((part) => part.stop()));
    for (let round = 0; round < 5; round++) await this.clock.advance(1000);
    await stopped;
  }

  #export(name: string, port: number, ready: boolean): void {
    const before = this.target.all<V1Service>('services').get(`demo/${name}`);
    const labels = { ...before?.metadata?.labels, exported: 'true' };
    const spec = { selector: { app: name }, ports: [{ name: 'http', port, protocol: 'TCP' }] };
    this.target.put('services', {
      metadata: { name, namespace: 'demo', uid: before?.metadata?.uid ?? `uid-${name}-${port}`, labels },
      spec,
    } as V1Service);
    this.#slice(name, labels, ready);
  }

  #slice(name: string, labels: Record<string, string>, ready: boolean): void {
    this.target.put('endpointslices', {
      metadata: {
        name: `${name}-1`,
        namespace: 'demo',
        uid: `slice-${name}`,
        labels: { ...labels, 'kubernetes.io/service-name': name },
      },
      addressType: 'IPv4',
      endpoints: ready ? [{ addresses: ['10.9.0.1'], conditions: { ready: true } }] : [],
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
      this.#slice(name, labels as Record<string, string>, true);
    } else if (kind === 'drift' && mirror?.metadata?.uid !== 'mine' && mirror !== undefined) {
      this.source.put('services', {
        ...mirror,
        spec: { ...mirror.spec, ports: [{ name: 'x', port: 9 }] },
      } as V1Service);
    } else if (kind === 'drop' && mirror !== undefined && mirror.metadata?.uid !== 'mine') {
      this.source.remove('services', 'demo', `${name}-west`);
    } else if (kind === 'disown') {
      this.source.remove('endpointslices', 'demo', `${name}-west-linkspan-ipv4`);
    }
  }

  #toConnections(kind: string): void {
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

/** What a person would expect here, from what is over there. */
function expected(target: FakeCluster): {
  mirrors: Map<string, [port: number, ready: boolean]>;
  federated: Set<string>;
} {
  const mirrors = new Map<string, [number, boolean]>();
  const federated = new Set<string>();
  const slices = target.all<V1EndpointSlice>('endpointslices');
  for (const [key, { metadata, spec }] of target.all<V1Service>('services')) {
    const ready = (slices.get(`${key}-1`)?.endpoints ?? []).length > 0;
    // `c-west` and `b-federated` are a user's.
    if (metadata?.labels?.['exported'] === 'true' && key !== 'demo/c')
      mirrors.set(`${key}-west`, [spec?.ports?.[0]?.port ?? 0, ready]);
    if (metadata?.labels?.['federated'] === 'member' && key !== 'demo/b') federated.add(`${key}-federated`);
  }
  return { mirrors, federated };
}

function found(source: FakeCluster): ReturnType<typeof expected> {
  const mirrors = new Map<string, [number, boolean]>();
  const federated = new Set<string>();
  const slices = source.all<V1EndpointSlice>('endpointslices');
  for (const [key, { metadata, spec }] of source.all<V1Service>('services')) {
    if (metadata?.uid?.startsWith('mine') === true) continue;
    const ready = (slices.get(`${key}-linkspan-ipv4`)?.endpoints ?? []).length > 0;
    if (key.endsWith('-federated')) federated.add(key);
    else mirrors.set(key, [spec?.ports?.[0]?.port ?? 0, ready]);
  }
  return { mirrors, federated };
}

describe('mirroring converges', function () {
  this.timeout(60_000);

  it('to the same objects whatever happened in whatever order, and never touches what is not its own', async () => {
    const story = fc.array(fc.record({ what: happening, pauseMs: fc.constantFrom(0, 1, 50, 2000) }), {
      minLength: 15,
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(
        story,
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        async (events, chances) => {
          const world = new World(() => chances.next().value as number);
          const mine = () =>
            ['demo/c-west', 'demo/b-federated'].map((key) => world.source.all('services').get(key));
          const before = mine();
          try {
            for (const { what, pauseMs } of events) {
              world.happen(what);
              if (pauseMs > 0) await world.clock.advance(pauseMs);
            }
            await world.rest();
            expect(found(world.source)).to.deep.equal(expected(world.target));
            expect(mine()).to.deep.equal(before);
            // One whose owner is gone is the garbage collector's, which this world does not have.
            const orphans = [...world.source.all<V1EndpointSlice>('endpointslices')]
              .filter(([key]) => !world.source.all('services').has(key.replace('-linkspan-ipv4', '')))
              .filter(([, { metadata }]) => metadata?.ownerReferences?.[0]?.kind !== 'Service');
            expect(orphans, 'slices that nobody will ever remove').to.deep.equal([]);
          } finally {
            await world.close();
          }
        },
      ),
      { numRuns: Number(process.env['LINKSPAN_PROPERTY_RUNS'] ?? 100) },
    );
  });
});

import { V1MicroTime, type V1Secret, type V1Service } from '@kubernetes/client-node';
import { linkLeaseName } from '../../src/api/lease-names.ts';
import { RECORD_SELECTOR } from '../../src/api/egress/egress-record.ts';
import {
  configMaps,
  endpoints,
  endpointSlices,
  type KubeObject,
  namespaces,
  type ObjectRef,
  type Resource,
  secrets,
  services,
} from '../../src/api/kubernetes/resource.ts';
import { links, type LinkObject } from '../../src/api/link/link-schema.ts';
import type { LinkStatus } from '../../src/api/link/link-status.ts';
import { CREDENTIALS_SECRET_KEY, CREDENTIALS_SECRET_TYPE, EXPORTED_LABEL } from '../../src/api/names.ts';
import { IpRanges } from '../../src/base/ip-ranges.ts';
import { EgressAllocator } from '../../src/controllers/egress-ports/egress-allocator.ts';
import type { AddressReport } from '../../src/api/answers/admin-answers.ts';
import { LinkController } from '../../src/controllers/link/link-controller.ts';
import { serviceIndexes } from '../../src/controllers/reconcile/local-indexes.ts';
import { BY_SERVICE, sliceService } from '../../src/exports/slices-by-service.ts';
import { LocalView } from '../../src/controllers/reconcile/local-view.ts';
import { TARGET_BUDGETS, type TargetBudgets } from '../../src/controllers/settings/target-budgets.ts';
import { TotalBudget } from '../../src/kube/budget/total-budget.ts';
import type { KubeClient } from '../../src/kube/client/kube-client.ts';
import type { EventRecorder } from '../../src/kube/events/event-recorder.ts';
import { Reflector } from '../../src/kube/informer/reflector.ts';
import { IndexedStore } from '../../src/kube/informer/store.ts';
import { WorkerPool } from '../../src/kube/queue/worker-pool.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { FakeCluster } from './fake-cluster.ts';
import { FakeLeases } from './fake-leases.ts';
import { noNames } from './host-names.ts';
import { targetSettings } from './target-settings.ts';
import { serviceAccountToken } from './tokens.ts';
import { VirtualClock } from './virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const GATEWAY = '203.0.113.7';
const MIRRORED = 'mirror.linkerd.io/mirrored-service=true';

type Writing = 'create' | 'patch' | 'replace' | 'delete';

/** One Link with its controller, its source and its target, in memory and in virtual time. */
export class LinkWorld {
  readonly clock = new VirtualClock();
  readonly source = new FakeCluster();
  readonly target = new FakeCluster();
  readonly secrets = new IndexedStore<V1Secret>();
  readonly controller: LinkController;
  /** What was written as the status, in order: the very objects that were sent. */
  readonly written: LinkStatus[] = [];
  /** Writes of the status fail with it, while it is set. */
  refusal: Error | undefined;
  /** The token that the target grants; undefined: none. */
  grant: string | undefined;
  /** Why the target's `/version` does not answer. */
  away: Error | undefined;
  /** Writes that are no status wait for it. */
  #held: PromiseWithResolvers<void> | undefined;
  /** Reads of one object of the target wait for it. */
  #unread: PromiseWithResolvers<void> | undefined;
  #gateway: AddressReport;
  #tellGateway = { onChange: () => {}, onReason: () => {} };
  readonly #leases = new FakeLeases(this.clock);
  readonly #links = new IndexedStore<LinkObject>();
  #updated: Promise<void> = Promise.resolve();
  readonly #parts: { stop(): Promise<unknown> }[] = [];

  constructor({ held = {} }: { readonly held?: Partial<TargetBudgets['held']> } = {}) {
    const { clock } = this;
    this.#gateway = this.#address('alive', '');
    const local = this.#local();
    const stores = {
      services: new IndexedStore(serviceIndexes),
      endpointSlices: new IndexedStore({ [BY_SERVICE]: sliceService }),
      endpoints: new IndexedStore<NonNullable<(typeof endpoints)['__type']>>(),
      namespaces: new IndexedStore<NonNullable<(typeof namespaces)['__type']>>(),
    };
    const common = { clock, random: () => 0.5, log };
    const follow = <T extends KubeObject>(
      resource: Resource<T>,
      store: IndexedStore<T>,
      labelSelector?: string,
    ) => {
      const selection = labelSelector === undefined ? {} : { labelSelector };
      const reflector = new Reflector<T>({ ...common, client: local, resource, store, ...selection });
      this.#parts.push(reflector);
      reflector.start();
    };
    this.source.put('namespaces', { metadata: { name: 'demo', uid: 'ns' } });
    follow(services, stores.services, MIRRORED);
    follow(endpointSlices, stores.endpointSlices, MIRRORED);
    follow(endpoints, stores.endpoints, MIRRORED);
    follow(namespaces, stores.namespaces);
    follow(links, this.#links);
    const record = new IndexedStore<NonNullable<(typeof configMaps)['__type']>>();
    follow(configMaps, record, RECORD_SELECTOR);
    follow(secrets, this.secrets);
    this.#links.subscribe('test', () => this.#update());
    this.secrets.subscribe('test', () => this.#update());
    const egress = new EgressAllocator({ ...common, client: local, namespace: 'ns', store: record });
    this.#parts.push(egress);
    const none = new IpRanges([]);
    this.controller = new LinkController({
      ...common,
      key: 'ns/west',
      replica: 'me',
      local,
      clientFor: () => this.#remote(),
      view: new LocalView(stores, clock),
      pool: new WorkerPool({ size: 8 }),
      egress,
      egressAddresses: () => [],
      events: { record: () => undefined } as unknown as EventRecorder,
      ranges: { ranges: { pod: none, service: none, node: none }, unknown: [] },
      names: noNames(clock),
      total: new TotalBudget(TARGET_BUDGETS.total),
      health: ({ onChange, onReason }) => {
        this.#tellGateway = { onChange, onReason: onReason ?? (() => undefined) };
        const addresses = () => [this.#gateway];
        return {
          update: () => undefined,
          stateOf: () => this.#gateway.state,
          get states() {
            return addresses();
          },
          stop: () => undefined,
        };
      },
      ageOf: () => '1',
      lease: { store: this.#leases.store(), durationMs: 30_000 },
      isLinked: () => true,
      onCollected: () => undefined,
      settings: targetSettings({
        dropGuard: { fraction: 0.5 },
        budgets: { ...TARGET_BUDGETS, held: { ...TARGET_BUDGETS.held, ...held } },
      }),
    });
  }

  /** The Link's status as it stands in the source cluster. */
  get status(): LinkStatus | undefined {
    return this.source.all<LinkObject>('links').get('ns/west')?.status;
  }

  /** One condition, as `status reason: message`. */
  condition(type: string): string {
    const found = this.status?.conditions?.find((condition) => condition.type === type);
    return `${found?.status ?? ''} ${found?.reason ?? ''}: ${found?.message ?? ''}`;
  }

  /** Makes the Link, or changes it. */
  link(change: Partial<LinkObject> = {}): void {
    const before = this.source.all<LinkObject>('links').get('ns/west');
    this.source.put('links', {
      spec: {
        targetClusterName: 'west',
        clusterCredentialsSecret: 'west',
        gatewayAddress: GATEWAY,
        gatewayPort: '4143',
        gatewayIdentity: 'gw',
        probeSpec: { path: '/ready', port: '4191', period: '3s' },
        selector: { matchLabels: { [EXPORTED_LABEL]: 'true' } },
        federatedServiceSelector: { matchLabels: { 'mirror.linkerd.io/federated': 'member' } },
      },
      ...before,
      ...change,
      metadata: {
        name: 'west',
        namespace: 'ns',
        uid: 'west',
        generation: 1,
        ...before?.metadata,
        ...change.metadata,
      },
    } as LinkObject);
  }

  /** The Secret that the Link names. @param life milliseconds that its token has left; undefined: for ever */
  secret(life?: number, annotations: Record<string, string> = {}): void {
    const now = this.clock.now();
    const token = serviceAccountToken(
      life === undefined ? { issuedAt: now } : { issuedAt: now, expiresAt: now + life },
    );
    const text = `{clusters: [{name: c, cluster: {server: "https://west.invalid"}}], users: [{name: u, user: {token: "${token}"}}], contexts: [{name: c, context: {cluster: c, user: u}}], current-context: c}`;
    this.source.put('secrets', {
      metadata: { name: 'west', namespace: 'ns', annotations },
      type: CREDENTIALS_SECRET_TYPE,
      data: { [CREDENTIALS_SECRET_KEY]: Buffer.from(text).toString('base64') },
    } as V1Secret);
  }

  noSecret(): void {
    this.source.remove('secrets', 'ns', 'west');
  }

  /** Another replica takes the Link's Lease. */
  loseLease(): void {
    const renewTime = new V1MicroTime(this.clock.now());
    this.#leases.put(
      { holderIdentity: 'other', leaseDurationSeconds: 3600, renewTime },
      linkLeaseName('west'),
    );
  }

  /** Exports a Service of the target, with an endpoint. */
  export(name: string, labels: Record<string, string> = { [EXPORTED_LABEL]: 'true' }): void {
    this.target.put('services', {
      metadata: { name, namespace: 'demo', uid: name, labels },
      spec: { ports: [{ port: 80 }], selector: { app: name } },
    } as V1Service);
    this.target.put('endpointslices', {
      metadata: { name, namespace: 'demo', labels: { ...labels, 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.9.0.1'], conditions: { ready: true } }],
    } as KubeObject);
  }

  /** What the probes of the gateway say. */
  gateway(state: AddressReport['state'], message: string): void {
    const isOther = this.#gateway.state !== state;
    this.#gateway = this.#address(state, message);
    if (isOther) this.#tellGateway.onChange();
    else this.#tellGateway.onReason();
  }

  /** Writes that are no status wait. */
  hold(): void {
    this.#held = Promise.withResolvers();
  }

  /** Reads of single objects of the target wait. */
  holdReads(): void {
    this.#unread = Promise.withResolvers();
  }

  /** What waits is carried out. */
  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
    this.#unread?.resolve();
    this.#unread = undefined;
  }

  async stop(): Promise<void> {
    this.release();
    const stopped = Promise.all([this.controller.stop(), ...this.#parts.map((part) => part.stop())]);
    await this.clock.advance(10_000);
    await stopped;
  }

  #address(state: AddressReport['state'], message: string): AddressReport {
    const reason = state === 'dead' ? 'ConnectionFailed' : undefined;
    return { address: GATEWAY, state, reason, message, latencyMs: 1, since: 0 };
  }

  #update(): void {
    // One after the other, as the controller's queue has it.
    this.#updated = this.#updated.then(async () => {
      const link = this.#links.get('ns/west');
      if (link !== undefined) await this.controller.update(link, this.secrets, undefined);
    });
  }

  /** The source's API server: Leases apart, and writes that a test holds back or refuses. */
  #local(): KubeClient {
    const { client } = this.source;
    const leases = this.#leases.client('me');
    const of = ({ plural }: Resource<KubeObject>) => (plural === 'leases' ? leases : client) as KubeClient;
    const write =
      (verb: Writing) =>
      async (resource: Resource<KubeObject>, ...rest: unknown[]) => {
        if (resource.plural === 'links') {
          if (this.refusal !== undefined) throw this.refusal;
          this.written.push((rest[1] as LinkObject).status ?? {});
        } else if (resource.plural !== 'leases') await this.#held?.promise;
        return (of(resource)[verb] as (...all: unknown[]) => Promise<unknown>)(resource, ...rest);
      };
    const local = {
      ...client,
      get: (resource: Resource<KubeObject>, ref: ObjectRef) => of(resource).get(resource, ref),
      create: write('create'),
      patch: write('patch'),
      replace: write('replace'),
      delete: write('delete'),
    };
    return local as unknown as KubeClient;
  }

  #remote(): KubeClient {
    const { client } = this.target;
    return {
      ...client,
      get: async (resource: Resource<KubeObject>, ref: ObjectRef) => {
        await this.#unread?.promise;
        return client.get(resource, ref);
      },
      raw: async () => {
        await Promise.resolve();
        if (this.away !== undefined) throw this.away;
        return '';
      },
      createUnder: async () => {
        await Promise.resolve();
        if (this.grant === undefined) throw new Error('no token for you');
        return { status: { token: this.grant } };
      },
      close: () => Promise.resolve(),
    } as unknown as KubeClient;
  }
}

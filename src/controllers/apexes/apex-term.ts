import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { APEX_MEMBER } from '../../api/egress/egress-record.ts';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { keyOf, services } from '../../api/kubernetes/resource.ts';
import { federatedName, isFederated } from '../../api/mirror/federated-members.ts';
import { clusterOf, isMirrored } from '../../api/mirror/mirror-labels.ts';
import { serviceDrainProblems } from '../../api/mirror/service-drain.ts';
import { writtenTexts } from '../../api/mirror/failover-texts.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { APEX_ROUTE_CONTROLLER } from '../../api/routing/routing-kinds.ts';
import { KubeRouting, type ServiceRoutes } from '../../discovery/kube-routing.ts';
import type { RoutedSpec } from '../../discovery/target-spec.ts';
import { isHandMade } from '../../exports/slice-makers.ts';
import { servicesOfChange } from '../../exports/slices-by-service.ts';
import { isConflict, type KubeClient, orUndefined } from '../../kube/client/kube-client.ts';
import type { EventRecorder } from '../../kube/events/event-recorder.ts';
import type { WatchParts } from '../../kube/informer/watched-kind.ts';
import type { WorkQueue } from '../../kube/queue/work-queue.ts';
import { type Demand, demandStated } from '../../policy/failover/demand.ts';
import { type FailoverCondition, notReady } from '../../policy/failover/failover-conditions.ts';
import type { RouteBackend } from '../../policy/routing/routing.ts';
import type { DrainWatch } from '../failover/drain-watch.ts';
import { statusNews, statusStep } from '../federated/failover-status.ts';
import type { DemandWitness } from '../gateway-health/egress-demand.ts';
import type { EgressAllocator } from '../egress-ports/egress-allocator.ts';
import type { MirrorAddress } from '../objects/mirrored-endpoints.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import type { LocalView } from '../reconcile/local-view.ts';
import { apply } from '../reconcile/mirror-apply.ts';
import { ownSlices } from '../reconcile/steps.ts';
import { ApexBackends } from './apex-backends.ts';
import { apexConditions } from './apex-conditions.ts';
import { leadSteps, releaseSteps } from './apex-plan.ts';
import { type ApexFacts, type ApexVerdict, apexVerdict, inNamespace, roomIn } from './apex-verdict.ts';
import { RoomWaiters } from './room-waiters.ts';
import type { TieredServices } from './tiered-services.ts';

/** What a term works with. */
export interface ApexTermOptions extends WatchParts {
  readonly client: KubeClient;
  /** What mirroring made. */
  readonly view: LocalView;
  readonly egress: EgressAllocator;
  readonly egressAddresses: () => readonly MirrorAddress[];
  /** Whether all ready egress pods serve ports that lead to several backends. */
  readonly egressServesGroups?: (() => boolean) | undefined;
  /** The drains of a cluster, as Links say. */
  readonly drainsOf: (cluster: string) => readonly FailoverDrain[] | undefined;
  /** Who knows how requests fare; default: nobody. */
  readonly demand?: DemandWitness | undefined;
  readonly events?: Pick<EventRecorder, 'record'> | undefined;
  /** Who tells by Events what becomes of drains. */
  readonly drains?: Pick<DrainWatch, 'apex' | 'apexGone'> | undefined;
  readonly tiered: TieredServices;
  readonly clusterDomain: string;
  /** As `InstalledKindsOptions.lookMs`. */
  readonly lookMs?: number | undefined;
  /** Ends the term. */
  readonly signal: AbortSignal;
  /** Of keys of Services. */
  readonly queue: Pick<WorkQueue, 'add' | 'addAfter'>;
}

/** Shares that move by time are looked at so often, for conditions. */
const MIN_LOOK_MS = 2000;
/** After a conflict: what somebody else has written comes by the watch in that time. */
const CONFLICT_MS = 200;
const NO_ROUTES: ServiceRoutes = { ports: new Map(), problems: [] };

/** The work of one term: from taking the Lease to losing it. */
export class ApexTerm {
  readonly #options: ApexTermOptions;
  readonly #routing: KubeRouting;
  /** Services about which something is written, or was, or that have something of ours. */
  readonly #candidates = new Set<string>();
  /** The apexes that lead to each mirror, and the other way round. */
  readonly #backends = new Map<string, ReadonlySet<string>>();
  /** Those that have too few endpoints, and how their requests fared as far as was known. */
  readonly #short = new Map<string, Demand>();
  readonly #waiters: RoomWaiters;
  #unsubscribe: readonly (() => void)[] = [];
  #wasComplete = false;

  constructor(options: ApexTermOptions) {
    const { client, clock, random, log, clusterDomain, lookMs } = options;
    this.#options = options;
    this.#waiters = new RoomWaiters(
      clock,
      (namespace) => roomIn(namespace, options.egress.keptByApexes()),
      (key) => options.queue.add(key),
    );
    this.#routing = new KubeRouting({
      client,
      clock,
      random,
      log,
      clusterDomain,
      lookMs,
      follow: 'all',
      statusAs: APEX_ROUTE_CONTROLLER,
      failover: true,
      view: { zone: undefined, meshEndpoint: () => undefined },
      // As the egress has it, so that both decide by the same endpoints.
      served: (_, slices) => slices.filter((slice) => !isHandMade(slice)),
      onChange: (key) => this.#consider(key),
      onState: () => this.#stateChanged(),
    });
  }

  start(): void {
    const { view, egress, tiered, demand } = this.#options;
    this.#unsubscribe = [
      egress.followApexes((apex) => this.#consider(apex)),
      egress.followGroups((group) => {
        if (this.#candidates.has(group)) this.#consider(group);
      }),
      tiered.follow((key) => this.#consider(key)),
      tiered.followState(() => this.#stateChanged()),
      demand?.follow(() => this.#demandChanged()) ?? (() => undefined),
      view.stores.endpointSlices.subscribe('apexes: slices', (change) => {
        const isApexs = [change.object, change.previous].some((one) => clusterOf(one) === APEX_MEMBER);
        for (const service of servicesOfChange(change))
          if (isApexs) this.#consider(service);
          else this.#backendChanged(service);
      }),
    ];
    this.#routing.start();
    const own = view.stores.endpointSlices.list().filter((slice) => clusterOf(slice) === APEX_MEMBER);
    const left = own.flatMap((object) => [...servicesOfChange({ object })]);
    for (const key of [...left, ...egress.apexes(), ...tiered.keys()]) this.#consider(key);
  }

  /** Egress pods or Links have changed. */
  resync(): void {
    for (const key of this.#candidates) this.#options.queue.add(key);
  }

  /** Whether all is known that may be written about Services. */
  get #isComplete(): boolean {
    return this.#routing.complete && this.#options.tiered.isComplete;
  }

  /** What waited for all to be known need wait no longer. */
  #stateChanged(): void {
    const was = this.#wasComplete;
    this.#wasComplete = this.#isComplete;
    if (this.#wasComplete && !was) this.resync();
  }

  async stop(): Promise<void> {
    for (const end of this.#unsubscribe) end();
    this.#waiters.stop();
    await this.#routing.stop();
  }

  #consider(key: string): void {
    if (!this.#candidates.has(key)) {
      this.#candidates.add(key);
      this.#routing.keepOne(key);
    }
    this.#options.queue.add(key);
  }

  #backendChanged(service: string): void {
    for (const [apex, backends] of this.#backends) if (backends.has(service)) this.#options.queue.add(apex);
  }

  /** Makes a Service what its verdict says. */
  async look(key: string): Promise<void> {
    const found = this.#routing.kept(key);
    const service = found === 'unknown' ? found : found?.service;
    const routes = this.#routesOf(service);
    const verdict = apexVerdict(this.#factsOf(key, found, routes));
    this.#waitOrNot(key, verdict);
    switch (verdict.action) {
      case 'wait':
        return;
      case 'ignore':
        return this.#ignore(key);
      case 'follow':
        // What was read of its routes has told them.
        return;
      case 'lead':
        return this.#lead(key, verdict, routes);
      default:
        return this.#release(key, verdict, { service, routes });
    }
  }

  #factsOf(key: string, found: ReturnType<KubeRouting['kept']>, routes: ServiceRoutes): ApexFacts {
    const { egress, view } = this.#options;
    const { namespace, name } = parseKey(key);
    const service = found === 'unknown' ? found : found?.service;
    const kept = egress.keptByApexes();
    const others = kept.filter(({ mirror }) => mirror !== key);
    const own = kept.filter(({ mirror }) => mirror === key).map(({ port }) => port);
    return {
      namespace,
      name,
      service,
      slices: found === 'unknown' || found === undefined ? [] : found.slices,
      ports: [...routes.ports.keys()],
      isForPlainClients: this.#isForPlainClients(service, routes),
      isComplete: this.#isComplete,
      isSubject: this.#routing.isSubject(key),
      hasFederated: view.service(namespace, federatedName(name)) !== undefined,
      kept: { namespace: inNamespace(others, namespace), all: others.length },
      own,
    };
  }

  /** Slices of ours by which a Service leads to the egress. */
  #slicesOf(key: string): V1EndpointSlice[] {
    const { namespace, name } = parseKey(key);
    const slices = this.#options.view.slices(namespace, name);
    const own = ownSlices({ service: undefined, slices, endpoints: undefined });
    return own.filter((slice) => clusterOf(slice) === APEX_MEMBER);
  }

  async #release(
    key: string,
    verdict: ApexVerdict,
    was: { readonly service: V1Service | 'unknown' | undefined; readonly routes: ServiceRoutes },
  ): Promise<void> {
    if (!(await this.#giveBack(key))) return;
    const { service, routes } = was;
    if (service !== undefined && service !== 'unknown') await this.#tell(key, service, verdict, routes);
    if (verdict.action === 'release' && this.#isNothing(key)) this.#drop(key);
  }

  /** @returns false: something was not as expected, and is looked at again */
  async #giveBack(key: string): Promise<boolean> {
    const { egress, queue } = this.#options;
    // Ports last: until the slices are gone, clients come to them.
    if ((await this.#apply(releaseSteps(this.#slicesOf(key)))) === 'stale') {
      queue.add(key);
      return false;
    }
    egress.allocateApex(key, []);
    return true;
  }

  /** Somebody may have marked as a mirror what led elsewhere until now; its conditions are the mirror's. */
  async #ignore(key: string): Promise<void> {
    if ((await this.#giveBack(key)) && this.#isNothing(key)) this.#drop(key);
  }

  async #lead(
    key: string,
    verdict: Extract<ApexVerdict, { action: 'lead' }>,
    routes: ServiceRoutes,
  ): Promise<void> {
    const { egress, egressAddresses, egressServesGroups, queue } = this.#options;
    // Pods of an older release listen on no such port: what there is stays until all can.
    const pods = egressAddresses();
    const isServed = pods.length === 0 || egressServesGroups?.() === true;
    const ports = egress.allocateApex(key, verdict.ports);
    if (ports === 'exhausted') {
      const refusal = {
        action: 'refuse',
        reason: 'TooManyApexes',
        message: 'no egress port is free',
      } as const;
      this.#waiters.wait(key);
      return this.#tell(key, verdict.service, refusal, routes);
    }
    // `followApexes` tells when the ports are recorded.
    if (ports !== 'unrecorded' && isServed) {
      const steps = leadSteps(verdict.service, this.#slicesOf(key), { ports, egress: pods });
      if ((await this.#apply(steps)) === 'stale') return queue.add(key);
    }
    await this.#tell(key, verdict.service, verdict, routes);
  }

  /** Its routing; in the status of its routes something is said only where the egress follows them. */
  #routesOf(service: V1Service | 'unknown' | undefined): ServiceRoutes {
    if (service === undefined || service === 'unknown') return NO_ROUTES;
    if (isFederated(service)) return this.#routing.of(service, this.#isRelayed(service));
    if (isMirrored(service)) return NO_ROUTES;
    const isApex = Object.keys(service.spec?.selector ?? {}).length === 0;
    return this.#routing.of(service, isApex);
  }

  /** Whether clients of a federated Service come to the egress, which follows what is written about it. */
  #isRelayed(service: V1Service): boolean {
    const ports = mirroredPorts(service).map(({ port }) => port);
    return ports.length > 0 && this.#options.egress.groupPorts(keyOf(service), ports) !== undefined;
  }

  #isForPlainClients(service: V1Service | 'unknown' | undefined, { ports }: ServiceRoutes): boolean {
    if (service === undefined || service === 'unknown') return false;
    if (writtenTexts(service.metadata?.annotations).tiers !== undefined) return true;
    const { view } = this.#options;
    const rules = [...ports.values()].flatMap(({ routing }) => routing.rules);
    return rules
      .filter(({ failover }) => failover?.managed === undefined)
      .flatMap(({ backends }) => backends)
      .some(({ namespace, service: name }) => view.service(namespace, name) !== undefined);
  }

  #apply(steps: Parameters<typeof apply>[1]): ReturnType<typeof apply> {
    const { client, view, signal } = this.#options;
    return apply({ client, view, signal }, steps);
  }

  /** Says in the Service's status what became of it. */
  async #tell(key: string, service: V1Service, verdict: ApexVerdict, routes: ServiceRoutes): Promise<void> {
    const at = this.#options.clock.now();
    const conditions = this.#conditionsOf(key, verdict, routes, at);
    const group = conditions && { conditions, at };
    const [step] = statusStep(service, group);
    if (step?.verb !== 'patch' || !(await this.#write(key, service, step.patch))) return;
    const { namespace = '', name = '', uid = '' } = service.metadata ?? {};
    const regarding = { apiVersion: 'v1', kind: 'Service', namespace, name, uid };
    for (const news of statusNews(service, group)) this.#options.events?.record({ regarding, ...news });
  }

  /** @returns false where the Service is not the one any more that was decided about */
  async #write(key: string, { metadata }: V1Service, patch: object): Promise<boolean> {
    const { client, queue, signal } = this.#options;
    const { namespace = '', name = '', uid, resourceVersion } = metadata ?? {};
    const body = { ...patch, metadata: { uid, resourceVersion } };
    const how = { type: 'merge', subresource: 'status', signal } as const;
    try {
      return (await orUndefined(client.patch(services, { namespace, name }, body, how))) !== undefined;
    } catch (error) {
      if (!isConflict(error)) throw error;
      queue.addAfter(key, CONFLICT_MS);
      return false;
    }
  }

  #conditionsOf(
    key: string,
    verdict: ApexVerdict,
    routes: ServiceRoutes,
    now: number,
  ): FailoverCondition[] | undefined {
    this.#short.delete(key);
    if (verdict.action === 'refuse') return notReady(verdict.reason, verdict.message);
    if (verdict.action !== 'lead') return undefined;
    if (verdict.short !== undefined) return notReady(verdict.short.reason, verdict.short.message);
    const { demand: witness, queue } = this.#options;
    const heard = witness === undefined ? 'unheard' : witness.of(key);
    const demand = heard ?? demandStated(verdict.service.status?.conditions);
    const backendsKnown = new ApexBackends(verdict.service, this.#options);
    const clusters = backendsKnown.clustersOf(
      [...routes.ports.values()].flatMap(({ routing }) => routing.rules),
    );
    this.#options.drains?.apex(verdict.service, clusters, () => !this.#options.signal.aborted);
    const drains = serviceDrainProblems(verdict.service.metadata?.annotations, clusters, now);
    const known = (backend: RouteBackend, leaves: RoutedSpec['leaves']) => backendsKnown.of(backend, leaves);
    const { conditions, backends, nextAt, isShort } = apexConditions(routes, { known, demand, drains, now });
    this.#backends.set(key, backends);
    if (isShort) this.#short.set(key, demand);
    if (nextAt !== undefined) queue.addAfter(key, Math.max(MIN_LOOK_MS, nextAt - now));
    return conditions;
  }

  /** Requests fare otherwise than when conditions were written that depend on it. */
  #demandChanged(): void {
    const { demand, queue } = this.#options;
    for (const [key, said] of this.#short) if ((demand?.of(key) ?? said) !== said) queue.add(key);
  }

  /** Whether nothing of ours is left of a Service, and nothing is written about it. */
  #isNothing(key: string): boolean {
    const { egress, view, tiered } = this.#options;
    const { namespace, name } = parseKey(key);
    const slices: readonly V1EndpointSlice[] = view.slices(namespace, name);
    return (
      !slices.some((slice) => clusterOf(slice) === APEX_MEMBER) &&
      !egress.isApex(key) &&
      !tiered.has(key) &&
      !this.#routing.isSubject(key)
    );
  }

  #waitOrNot(key: string, verdict: ApexVerdict): void {
    const isShort =
      verdict.action === 'refuse'
        ? verdict.reason === 'TooManyApexes'
        : verdict.action === 'lead' && verdict.short;
    if (isShort) this.#waiters.wait(key);
    else this.#waiters.forget(key);
  }

  #drop(key: string): void {
    this.#waiters.forget(key);
    this.#backends.delete(key);
    this.#options.drains?.apexGone(key);
    this.#short.delete(key);
    if (this.#candidates.delete(key)) this.#routing.dropOne(key);
  }
}

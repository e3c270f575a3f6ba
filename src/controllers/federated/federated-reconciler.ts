import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import {
  clusterOfEntry,
  federatedEntries,
  federatedName,
  hasMember,
  LOCAL_MEMBER,
  localMemberOf,
  memberLabel,
  memberLinkOf,
  memberName,
} from '../../api/mirror/federated-members.ts';
import { hasOwnershipLabels, type CopyRules } from '../../api/mirror/mirror-metadata.ts';
import { fullyQualifiedName, parseKey, type RemoteKey } from '../../api/mirror/mirror-names.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import type { ExportView } from '../../exports/export-view.ts';
import type { ImportStrategy, KeyListener, SeenFacts } from '../import-reconciler/import-strategy.ts';
import { ImportReconciler, type WritingOptions } from '../import-reconciler/import-reconciler.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import { type ImportFacts, TAKES_ALL } from '../imports/link-imports.ts';
import { MEMBER_INDEX } from '../reconcile/local-indexes.ts';
import { servicesOfChange } from '../../exports/slices-by-service.ts';
import { rulesFor } from '../failover/facts-rules.ts';
import { backendName } from '../../policy/failover/federated-group.ts';
import { pathSeen, type Watched } from '../failover/published-facts.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';
import type { EventRecorder } from '../../kube/events/event-recorder.ts';
import type { FailoverBook } from '../failover/failover-book.ts';
import type { Step } from '../reconcile/steps.ts';
import { memberClaim } from '../removals/drop-guard.ts';
import type { EgressPorts } from '../../api/egress/egress-ports.ts';
import { ownSlices, planMember } from './federated-plan.ts';
import { Departures } from './departures.ts';
import { believed } from '../gateway-health/own-network.ts';
import type { Testimony } from '../gateway-health/witnesses.ts';
import { decideMember, type MemberVerdict } from './federated-verdict.ts';
import { groupStatus, statusNews } from './failover-status.ts';
import {
  type GroupStatus,
  hasOthers,
  isMember,
  type MemberFacts,
  type Union,
  unionNow,
} from './member-facts.ts';

/** What the reconciler of one cluster's memberships needs. */
export interface FederatedMembersOptions extends WritingOptions {
  /** The members' cluster, or `LOCAL_MEMBER`. */
  readonly member: string;
  /** The Link that they come by, `namespace/name`. */
  readonly link: string | undefined;
  readonly members: ExportView;
  readonly rules: CopyRules;
  readonly createNamespaces: boolean;
  /** DNS domain of the members' cluster. */
  readonly clusterDomain: string;
  readonly union: Union;
  /** Whether its slices say what is known of it, for whoever divides requests: where the egress does. */
  readonly publishesFacts: boolean;
  readonly gatewayOf: () => GatewayFacts | undefined;
  /** Who says whether the members' cluster is there; default: nobody, it always is. */
  readonly witnesses?: Testimony | undefined;
  /** For members that need no egress port of their own: the egress reaches their pods itself. */
  readonly groups?: GroupPorts | undefined;
  /** What is decided about groups is entered here, and what Links say is read; default: nobody asks. */
  readonly failover?: FailoverBook | undefined;
  readonly events?: Pick<EventRecorder, 'record'>;
  /**
   * A text by which clusters sort by the age of their Links, the oldest first; undefined: no Link names the
   * cluster.
   */
  readonly ageOf: (cluster: string) => string | undefined;
}

/** The egress ports that lead to all members of federated Services. */
export interface GroupPorts {
  /** By service port; undefined: not all have one, or not all egress pods serve such ports. */
  of(federated: string, servicePorts: readonly number[]): EgressPorts | undefined;
  /** Calls `listener` with the federated Service whose ports have changed. @returns what ends that */
  follow(listener: (federated: string) => void): () => void;
}

/** In a ramp shares change more often than their state does, which is what is told. */
const MIN_WAIT_MS = 1000;

/** Keeps the memberships of one cluster. */
export type FederatedReconciler = ImportReconciler<MemberFacts, MemberVerdict>;

/**
 * Keeps the memberships of one cluster in federated Services. Each cluster's reconciler writes its own entry
 * and its own slices, and the leading member's also the rest of the Service. So no reconciler has to know all
 * clusters, and replicas that hold different Links can write to one Service.
 */
export function federatedMembers(options: FederatedMembersOptions): FederatedReconciler {
  const { failover, log } = options;
  const onTold = (service: string, err: Error | undefined): void => {
    if (failover?.told(err) === true) log.warn({ service, err }, 'status of federated service not written');
  };
  const writing = { ...options, onTold };
  return new ImportReconciler<MemberFacts, MemberVerdict>(writing, new FederatedMembers(options));
}

/** What memberships do differently from other imports. */
class FederatedMembers implements ImportStrategy<MemberFacts, MemberVerdict> {
  readonly what = 'federated service';
  readonly countsRefusals = false;
  readonly decide = decideMember;
  readonly plan = planMember;
  readonly #options: FederatedMembersOptions;
  readonly #departures: Departures | undefined;

  constructor(options: FederatedMembersOptions) {
    this.#options = options;
    const { witnesses, union, clock } = options;
    if (witnesses !== undefined && union !== 'relay') this.#departures = new Departures(witnesses, clock);
  }

  get exports(): ExportView {
    return this.#options.members;
  }

  get claimant(): { readonly cluster: string; readonly member: string } {
    return { cluster: this.#options.member, member: this.#options.member };
  }

  get usualMode(): string {
    return modeText(this.#options.union);
  }

  modeOf(facts: MemberFacts): string {
    return modeText(unionNow(facts));
  }

  claimOf(key: string): string {
    return memberClaim(key);
  }

  localName(name: string): string {
    return federatedName(name);
  }

  /** The exported Service. One that mirroring made is no member: it would become a member of itself. */
  exported(key: string): V1Service | undefined {
    const service = this.#options.members.services.get(key);
    return isMirrored(service) ? undefined : service;
  }

  keys(): string[] {
    const { view, member } = this.#options;
    return view.stores.services.byIndex(MEMBER_INDEX, member).flatMap((service) => {
      const key = this.#keyOf(service);
      return key === undefined ? [] : [key];
    });
  }

  standsFor(service: V1Service, key: string): boolean {
    return this.#keyOf(service) === key;
  }

  existing(_: RemoteKey, service: V1Service) {
    return { service, hosts: 0, relayed: this.#options.union === 'relay' };
  }

  slicesToLose({ namespace, name }: RemoteKey): readonly V1EndpointSlice[] {
    const { view, member, union } = this.#options;
    if (union === 'none') return [];
    return view
      .slices(namespace, federatedName(name))
      .filter((slice) => hasOwnershipLabels(slice, memberLabel(member)));
  }

  follow({ touched }: KeyListener): (() => void)[] {
    const { view, members } = this.#options;
    const changed = (key: string) => {
      if (members.services.get(key) !== undefined) touched(key);
    };
    const serviceChanged = (service: V1Service) => {
      const { namespace = '', name = '' } = service.metadata ?? {};
      const member = memberName(name);
      if (member === undefined) return;
      const key = `${namespace}/${member}`;
      if (this.#keyOf(service) === undefined) changed(key);
      else touched(key);
    };
    const groupChanged = (federated: string) => {
      const { namespace, name } = parseKey(federated);
      changed(`${namespace}/${memberName(name) ?? ''}`);
    };
    return [
      () => this.#options.failover?.release(this),
      this.#options.groups?.follow(groupChanged) ?? (() => undefined),
      this.#followDemand(groupChanged),
      view.stores.services.subscribe('federated: Services', ({ object, previous }) => {
        if (previous !== undefined) serviceChanged(previous);
        serviceChanged(object);
      }),
      view.stores.endpointSlices.subscribe('federated: EndpointSlices', (change) => {
        for (const service of servicesOfChange(change)) {
          const { namespace, name } = parseKey(service);
          const member = memberName(name);
          if (member !== undefined) changed(`${namespace}/${member}`);
        }
      }),
    ];
  }

  facts(seen: SeenFacts): MemberFacts {
    const { members, view, member, link, rules, createNamespaces, union, gatewayOf } = this.#options;
    const { namespace, name } = seen.key;
    const federated = view.part(namespace, federatedName(name));
    const facts: MemberFacts = {
      ...seen,
      member,
      link,
      rules,
      createNamespaces,
      union,
      remoteSlices: union === 'pods' ? members.slicesOf(`${namespace}/${name}`) : [],
      federated,
      strangers: this.#strangers(federated.service),
      leads: this.#leads(federated.service),
      imports: this.#imports(`${namespace}/${name}`, seen.remote, federated.service),
      gateway: gatewayOf(),
      ...this.#sharedPorts(seen),
    };
    const gateway = hasOthers(facts) ? facts.gateway : believed(facts.gateway);
    return { ...facts, gateway, ...this.#lostOf(facts), group: this.#group(facts) };
  }

  /** Whether its cluster is lost. */
  #lostOf(facts: MemberFacts): Pick<MemberFacts, 'lost' | 'lostWaitMs'> {
    const departures = this.#departures;
    if (departures === undefined) return {};
    const { key, remote, federated, member } = facts;
    const name = `${key.namespace}/${key.name}`;
    if (remote === undefined) departures.forget(name);
    if (remote === undefined || federated.service === undefined) return {};
    const { delayMs } = rulesFor(federated.service, backendName(member));
    const { gone, waitMs } = departures.look({ key: name, delayMs, hasOthers: hasOthers(facts) });
    return { lost: gone, lostWaitMs: waitMs };
  }

  /** The ports of the group, where this member has none of its own. */
  #sharedPorts({ key: { namespace, name }, remote }: SeenFacts): Partial<Pick<MemberFacts, 'egressGroups'>> {
    const service = federatedName(name);
    const ports = mirroredPorts(remote ?? {}).map(({ port }) => port);
    const group = this.#options.groups?.of(`${namespace}/${service}`, ports);
    return group === undefined ? {} : { egressGroups: new Map([[service, group]]) };
  }

  /** What is decided about the requests of the Service, where this member leads it. */
  #group(facts: MemberFacts): GroupStatus | undefined {
    const { failover, publishesFacts, clock } = this.#options;
    if (failover === undefined || !publishesFacts) return undefined;
    const { namespace, name } = facts.key;
    const service = `${namespace}/${federatedName(name)}`;
    const said = { links: failover.links, demand: failover.demandOf(service) };
    const group = isMember(facts) ? groupStatus(facts, said, clock.now()) : undefined;
    failover.note(this, service, group?.decision, group?.demand);
    return group;
  }

  #followDemand(listener: (federated: string) => void): () => void {
    const { failover, publishesFacts } = this.#options;
    if (failover === undefined || !publishesFacts) return () => undefined;
    return failover.followDemand(this, listener);
  }

  /** Tells what is new in the status of the Service, once it is written. */
  done({ federated: { service }, group }: MemberFacts, steps: readonly Step[]): void {
    if (
      service === undefined ||
      !steps.some((step) => step.verb === 'patch' && step.subresource === 'status')
    )
      return;
    const { name, namespace, uid } = service.metadata ?? {};
    const regarding = {
      apiVersion: 'v1',
      kind: 'Service',
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
    };
    for (const news of statusNews(service, group)) this.#options.events?.record({ regarding, ...news });
  }

  /** What Linkerd resolves has no slices of ours; where pods are the endpoints, no path is known. */
  watched(facts: MemberFacts): Watched | undefined {
    const { member, union, publishesFacts } = this.#options;
    if (!publishesFacts || union === 'none') return undefined;
    const path = member === LOCAL_MEMBER ? 'alive' : pathSeen(facts.gateway);
    return { path, rules: rulesFor(facts.federated.service, backendName(member)), slices: ownSlices(facts) };
  }

  relayed({ key }: MemberFacts): ReadonlyMap<string, string> {
    const { union, clusterDomain } = this.#options;
    if (union !== 'relay') return new Map();
    return new Map([[federatedName(key.name), fullyQualifiedName(key, clusterDomain)]]);
  }

  wish() {
    return { link: this.#options.link ?? '' };
  }

  wanted(verdict: MemberVerdict): readonly V1EndpointSlice[] | undefined {
    return verdict.action === 'join' ? verdict.slices : undefined;
  }

  here({ federated }: MemberFacts): V1Service | undefined {
    return federated.service;
  }

  isHalfway(): boolean {
    return false;
  }

  /** A ramp or a hold that ends moves shares without anybody's word. */
  waits({ group, lostWaitMs }: MemberFacts): number[] {
    const waits = lostWaitMs === undefined ? [] : [lostWaitMs];
    if (group === undefined) return waits;
    const changes = [group.decision.nextChangeAt, group.againAt].filter((at) => at !== undefined);
    return [...waits, ...changes.map((at) => Math.max(MIN_WAIT_MS, at - group.at))];
  }

  #imports(key: string, remote: V1Service | undefined, federated: V1Service | undefined): ImportFacts {
    const { linkImports, union } = this.#options;
    if (linkImports === undefined) return TAKES_ALL;
    const request = {
      key,
      claim: memberClaim(key),
      remote,
      exists: federated !== undefined && this.#keyOf(federated) === key,
      mirrors: 1,
      egressPorts: union === 'relay' && remote !== undefined ? mirroredPorts(remote).length : 0,
    };
    return linkImports.judge(request);
  }

  /** As `MemberFacts.strangers`. */
  #strangers(service: V1Service | undefined): string[] {
    const { ageOf, member } = this.#options;
    if (service === undefined) return [];
    return federatedEntries(service)
      .map(clusterOfEntry)
      .filter(
        (cluster) =>
          cluster !== member && ageOf(cluster) === undefined && memberLinkOf(service, cluster) === undefined,
      );
  }

  /**
   * Whether this member leads: the local member does, else the one whose Link is the oldest; `ageOf` tells
   * Links of one age apart by name, so that all replicas agree.
   */
  #leads(service: V1Service | undefined): boolean {
    const { member, ageOf } = this.#options;
    if (member === LOCAL_MEMBER || service === undefined) return true;
    if (localMemberOf(service) !== undefined) return false;
    const own = ageOf(member) ?? '';
    return federatedEntries(service).every((entry) => {
      const age = ageOf(clusterOfEntry(entry));
      return age === undefined || own <= age;
    });
  }

  /** The export whose membership a Service here holds, if this cluster is a member of it. */
  #keyOf(service: V1Service): string | undefined {
    const { namespace = '', name = '' } = service.metadata ?? {};
    const member = memberName(name);
    if (member === undefined) return undefined;
    return hasMember(service, this.#options.member, member) ? `${namespace}/${member}` : undefined;
  }
}

/** How a membership is reached, for people. */
function modeText(union: Union): string {
  return `federated, ${union === 'none' ? 'resolved by Linkerd' : union}`;
}

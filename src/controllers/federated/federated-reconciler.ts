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
import type { ImportStrategy, Noticing, SeenFacts } from '../import-reconciler/import-strategy.ts';
import { ImportReconciler, type WritingOptions } from '../import-reconciler/import-reconciler.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import { type ImportFacts, TAKES_ALL } from '../imports/link-imports.ts';
import { MEMBER_INDEX, servicesOfChange } from '../reconcile/local-indexes.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';
import { memberClaim } from '../removals/drop-guard.ts';
import { planMember } from './federated-plan.ts';
import { decideMember, type MemberVerdict } from './federated-verdict.ts';
import type { MemberFacts, Union } from './member-facts.ts';

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
  readonly gatewayOf: () => GatewayFacts | undefined;
  /** Sorts clusters by the age of their Links; undefined where no Link names the cluster. */
  readonly ageOf: (cluster: string) => string | undefined;
}

/** Keeps the memberships of one cluster. */
export type FederatedReconciler = ImportReconciler<MemberFacts, MemberVerdict>;

/**
 * Keeps the memberships of one cluster in federated Services: each cluster's reconciler adds and removes its
 * own entry and its own slices, and the oldest member's writes the rest. So no reconciler has to know all
 * clusters, and replicas that hold different Links work on one Service side by side.
 */
export function federatedMembers(options: FederatedMembersOptions): FederatedReconciler {
  return new ImportReconciler<MemberFacts, MemberVerdict>(options, new FederatedMembers(options));
}

/** What memberships do differently from other imports. */
class FederatedMembers implements ImportStrategy<MemberFacts, MemberVerdict> {
  readonly what = 'federated service';
  readonly countsRefusals = false;
  readonly decide = decideMember;
  readonly plan = planMember;
  readonly #options: FederatedMembersOptions;

  constructor(options: FederatedMembersOptions) {
    this.#options = options;
  }

  get exports(): ExportView {
    return this.#options.members;
  }

  get claimant(): { readonly cluster: string; readonly member: string } {
    return { cluster: this.#options.member, member: this.#options.member };
  }

  get usualMode(): string {
    const { union } = this.#options;
    return `federated, ${union === 'none' ? 'resolved by Linkerd' : union}`;
  }

  modeOf(): string {
    return this.usualMode;
  }

  claimOf(key: string): string {
    return memberClaim(key);
  }

  localName(name: string): string {
    return federatedName(name);
  }

  /** A Service that mirroring made is no member: it would federate itself. */
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

  follow({ touched }: Noticing): (() => void)[] {
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
    return [
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
    return {
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
    };
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

  waits(): number[] {
    return [];
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
   * The local member leads; else the one whose Link is the oldest. Links of one age are told apart by name,
   * so that all agree.
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

  /** Which export a Service here stands for, if it names this cluster's member. */
  #keyOf(service: V1Service): string | undefined {
    const { namespace = '', name = '' } = service.metadata ?? {};
    const member = memberName(name);
    if (member === undefined) return undefined;
    return hasMember(service, this.#options.member, member) ? `${namespace}/${member}` : undefined;
  }
}

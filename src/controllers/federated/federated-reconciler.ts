import type { V1Service } from '@kubernetes/client-node';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import { readAnnotation } from '../../api/annotations.ts';
import type { EgressPorts } from '../../api/egress/egress-ports.ts';
import {
  clusterOfEntry,
  federatedEntries,
  federatedName,
  LOCAL_MEMBER,
  memberLabel,
  memberLinkKey,
  memberName,
} from '../../api/mirror/federated-members.ts';
import { LOCAL_DISCOVERY } from '../../api/names.ts';
import type { ExportView } from '../../exports/export-view.ts';
import { memberClaim, type ClaimState, type DropGuard } from '../removals/drop-guard.ts';
import type { EgressWish, EgressAllocator } from '../egress-ports/egress-allocator.ts';
import { readyAddresses, type MirrorAddress } from '../objects/mirrored-endpoints.ts';
import type { GatewayFacts, ImportFacts, LinkFacts } from '../reconcile/mirror-facts.ts';
import { planMember } from './federated-plan.ts';
import { decideMember, type MemberVerdict } from './federated-verdict.ts';
import type { MemberFacts, Union } from './member-facts.ts';
import { GracePeriods, type Sight } from '../removals/grace-periods.ts';
import { QUOTA_RECHECK_MS, TAKES_ALL, type ExistingImport, type Importer } from '../reconcile/importer.ts';
import { MEMBER_INDEX, servicesOfChange } from '../reconcile/local-indexes.ts';
import type { LocalView } from '../reconcile/local-view.ts';
import { hasOwnershipLabels } from '../../api/mirror/mirror-metadata.ts';
import { EMPTIED_GRACE_MS, lostAllSlices } from '../mirror/mirror-reconciler.ts';
import { fullyQualifiedName, keyOfObject, parseKey } from '../../api/mirror/mirror-names.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import { NOTHING_OF_OURS } from '../../api/reasons/mirror-reasons.ts';
import { takesSelector } from '../reconcile/steps.ts';
import { PRIORITY, Reconciler, type Decision, type ReconcilerOptions } from '../reconcile/reconciler.ts';

export interface FederatedReconcilerOptions extends Omit<ReconcilerOptions, 'what' | 'decide'> {
  /** The members' cluster, or `LOCAL_MEMBER`. */
  readonly member: string;
  /** The Link that they come by, `namespace/name`. */
  readonly link: string | undefined;
  readonly members: ExportView;
  readonly view: LocalView;
  readonly guard: DropGuard;
  /** Undefined for the source cluster's own members, which nobody else decides about. */
  readonly importer: Importer | undefined;
  readonly rules: LinkFacts['rules'];
  readonly createNamespaces: boolean;
  /** DNS domain of the members' cluster. */
  readonly clusterDomain: string;
  readonly union: Union;
  readonly gatewayOf: () => GatewayFacts | undefined;
  readonly egress: EgressAllocator;
  readonly egressAddresses: () => readonly MirrorAddress[];
  /** Sorts clusters by the age of their Links; undefined where no Link names the cluster. */
  readonly ageOf: (cluster: string) => string | undefined;
}

/**
 * Keeps the memberships of one cluster in federated Services: each cluster's writer adds and removes its own entry and its own slices, and the oldest
 * member's writes the rest. So nobody has to know all clusters, and replicas that hold different Links work on one Service side by side.
 */
export class FederatedReconciler {
  readonly #options: FederatedReconcilerOptions;
  readonly #reconciler: Reconciler;
  readonly #unsubscribe: (() => void)[] = [];
  /** Members whose slices are all gone. */
  readonly #emptied: GracePeriods;

  constructor(options: FederatedReconcilerOptions) {
    this.#options = options;
    this.#emptied = new GracePeriods(options.clock, EMPTIED_GRACE_MS);
    this.#reconciler = new Reconciler({
      ...options,
      what: 'federated service',
      decide: (key) => this.#decide(key),
    });
  }

  get reconciler(): Reconciler {
    return this.#reconciler;
  }

  start(): void {
    const { members, view, importer } = this.#options;
    importer?.seed(this.memberships().flatMap((key) => this.#existing(key)));
    this.#unsubscribe.push(
      members.subscribe((key) => {
        this.#note(key);
        this.#reconciler.add(key, this.#priorityOf(key));
      }),
      view.stores.services.subscribe('federated: Services', (change) => {
        if (change.previous !== undefined) this.#localChanged(change.previous);
        this.#localChanged(change.object);
      }),
      view.stores.endpointSlices.subscribe('federated: EndpointSlices', (change) => {
        for (const service of servicesOfChange(change)) {
          const { namespace, name } = parseKey(service);
          const member = memberName(name);
          if (member !== undefined) this.#touched(`${namespace}/${member}`);
        }
      }),
      view.stores.namespaces.subscribe('federated: Namespaces', (change) => {
        for (const key of members.services.keys())
          if (parseKey(key).namespace === change.key) this.#reconciler.add(key, PRIORITY.change);
      }),
    );
    for (const key of this.memberships()) {
      this.#note(key);
      if (importer?.refusal(key) !== undefined) this.#reconciler.add(key, PRIORITY.withdrawal);
    }
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#reconciler.stop();
  }

  /** Looks at every member and every membership again. */
  resync(priority: number): void {
    const keys = new Set([...this.#options.members.services.keys(), ...this.memberships()]);
    for (const key of keys) {
      this.#note(key);
      this.#reconciler.add(key, priority);
    }
  }

  /** Keys of this cluster's members that federated Services name here. */
  memberships(): string[] {
    const { view, member } = this.#options;
    return view.stores.services.byIndex(MEMBER_INDEX, member).flatMap((service) => {
      const key = this.#memberKey(service);
      return key === undefined ? [] : [key];
    });
  }

  /** The facts of a key as they are now; for `explain`. */
  look(key: string): MemberFacts {
    return this.#gather(key, 'look');
  }

  #decide(key: string): Decision {
    const facts = this.#gather(key, 'act');
    const verdict = decideMember(facts);
    const steps = planMember(facts, verdict);
    return {
      reason: verdict.reason,
      message: verdict.message,
      notes: verdict.notes,
      local: federatedName(facts.key.name),
      steps,
      gone: verdict.reason === 'NotExported' && facts.remote === undefined,
      again: steps.length > 0 && (verdict.action === 'namespace' || takesSelector(steps)),
      recheckMs:
        verdict.reason === 'ImportQuotaExceeded'
          ? QUOTA_RECHECK_MS
          : facts.emptiedGraceMs > 0
            ? facts.emptiedGraceMs
            : undefined,
      after: () => {
        this.#settleClaims(key, facts, verdict);
        // As `MirrorReconciler` does: only now has the API server chosen the family of a new ClusterIP.
        if (
          facts.federated.service === undefined &&
          decideMember(this.#gather(key, 'look')).reason === 'AddressFamilyMismatch'
        )
          this.#reconciler.add(key, PRIORITY.change);
      },
    };
  }

  /** As `MirrorReconciler` does: what nothing leads to any more is given back. */
  #settleClaims(key: string, { member, egressPorts }: MemberFacts, { action, reason }: MemberVerdict): void {
    const gone = action === 'remove' || NOTHING_OF_OURS.has(reason);
    if (action !== 'join' && !gone) return;
    const holder = (name: string) => `${parseKey(key).namespace}/${name}@${member}`;
    const wanted = [...(gone ? [] : egressPorts)].map(
      ([name, ports]) => [holder(name), Object.keys(ports).map(Number)] as const,
    );
    this.#options.egress.settle({ cluster: member, export: key, federated: true }, new Map(wanted));
  }

  /** As `MirrorReconciler` does. */
  #gather(text: string, sight: Sight): MemberFacts {
    const { members, view, guard, member, link, rules, createNamespaces, union } = this.#options;
    const key = parseKey(text);
    const remote = this.#exported(text);
    const federated = view.part(key.namespace, federatedName(key.name));
    const claim = this.#claimState(text, remote);
    const emptiedGraceMs = claim === 'emptied' ? this.#emptied.left(text, sight) : 0;
    if (claim !== 'emptied') this.#emptied.end(text, sight);
    const known = emptiedGraceMs === 0 && members.endpointsKnown(text);
    const imports = this.#imports(text, remote, federated.service, sight);
    const facts = {
      key,
      member,
      link,
      rules,
      createNamespaces,
      union,
      synced: members.synced,
      removalsHeld: claim !== 'there' && guard.held(memberClaim(text)),
      remote,
      remoteReady: known ? members.endpointsOf(text).ready : undefined,
      emptiedGraceMs,
      remoteSlices: union === 'pods' ? members.slicesOf(text) : [],
      namespace: view.namespace(key.namespace),
      federated,
      strangers: this.#strangers(federated.service),
      leads: this.#leads(federated.service),
      imports,
      gateway: this.#options.gatewayOf(),
      egress: this.#options.egressAddresses(),
      egressPorts: new Map<string, EgressPorts>(),
      egressUnrecorded: true,
    };
    if (union !== 'relay' || decideMember(facts).reason !== 'EgressPortsUnrecorded') return facts;
    const wish = this.#wish(text, remote ?? {});
    const { egress } = this.#options;
    const ports = sight === 'look' ? egress.look(wish) : egress.allocate(wish);
    const recorded = typeof ports === 'string' ? [] : ([[federatedName(key.name), ports]] as const);
    return { ...facts, egressPorts: new Map(recorded), egressUnrecorded: ports === 'unrecorded' };
  }

  #imports(
    key: string,
    remote: V1Service | undefined,
    federated: V1Service | undefined,
    sight: Sight,
  ): ImportFacts {
    const { importer, union } = this.#options;
    if (importer === undefined) return TAKES_ALL;
    const request = {
      key,
      claim: memberClaim(key),
      remote,
      exists: federated !== undefined && this.#memberKey(federated) === key,
      mirrors: 1,
      egressPorts: union === 'relay' && remote !== undefined ? mirroredPorts(remote).length : 0,
    };
    return importer.judge(request, sight);
  }

  #existing(key: string): ExistingImport[] {
    const { namespace, name } = parseKey(key);
    const service = this.#options.view.service(namespace, federatedName(name));
    const relayed = this.#options.union === 'relay';
    return service === undefined ? [] : [{ claim: memberClaim(key), service, hosts: 0, relayed }];
  }

  #exported(key: string): V1Service | undefined {
    const service = this.#options.members.services.get(key);
    // What mirroring made is no member: it would federate itself.
    return isMirrored(service) ? undefined : service;
  }

  #wish(key: string, remote: V1Service): EgressWish {
    const { member, link = '', clusterDomain } = this.#options;
    const { namespace, name } = parseKey(key);
    return {
      mirror: `${namespace}/${federatedName(name)}`,
      member,
      export: key,
      link,
      cluster: member,
      target: fullyQualifiedName({ namespace, name }, clusterDomain),
      servicePorts: mirroredPorts(remote).map(({ port }) => port),
    };
  }

  #strangers(service: V1Service | undefined): string[] {
    const { ageOf, member } = this.#options;
    if (service === undefined) return [];
    const annotations = service.metadata?.annotations ?? {};
    return federatedEntries(service)
      .map(clusterOfEntry)
      .filter(
        (cluster) =>
          cluster !== member &&
          ageOf(cluster) === undefined &&
          readAnnotation(annotations, memberLinkKey(cluster)) === undefined,
      );
  }

  /** The local member leads; else the one whose Link is the oldest. Links of one age are told apart by name, so that all agree. */
  #leads(service: V1Service | undefined): boolean {
    const { member, ageOf } = this.#options;
    if (member === LOCAL_MEMBER || service === undefined) return true;
    if (readAnnotation(service.metadata?.annotations, LOCAL_DISCOVERY) !== undefined) return false;
    const own = ageOf(member) ?? '';
    return federatedEntries(service).every((entry) => {
      const age = ageOf(clusterOfEntry(entry));
      return age === undefined || own <= age;
    });
  }

  #memberKey(service: V1Service): string | undefined {
    const { namespace = '', name = '' } = service.metadata ?? {};
    const member = memberName(name);
    if (member === undefined) return undefined;
    if (this.#options.member === LOCAL_MEMBER)
      return readAnnotation(service.metadata?.annotations, LOCAL_DISCOVERY) === member
        ? `${namespace}/${member}`
        : undefined;
    return federatedEntries(service).includes(`${member}@${this.#options.member}`)
      ? `${namespace}/${member}`
      : undefined;
  }

  #localChanged(service: V1Service): void {
    const { namespace } = parseKey(keyOfObject(service));
    const name = memberName(service.metadata?.name ?? '');
    if (name === undefined) return;
    const key = `${namespace}/${name}`;
    if (this.#memberKey(service) !== undefined) {
      this.#note(key);
      this.#reconciler.add(key, PRIORITY.change);
    } else {
      this.#touched(key);
    }
  }

  #touched(key: string): void {
    if (this.#options.members.services.get(key) === undefined) return;
    this.#note(key);
    this.#reconciler.add(key, PRIORITY.change);
  }

  #note(key: string): void {
    const { namespace, name } = parseKey(key);
    const service = this.#options.view.stores.services.get(`${namespace}/${federatedName(name)}`);
    const claimed = service !== undefined && this.#memberKey(service) === key;
    this.#options.guard.note(memberClaim(key), claimed, this.#claimState(key, this.#exported(key)));
  }

  #claimState(key: string, remote: V1Service | undefined): ClaimState {
    const { members, view, member, union } = this.#options;
    if (remote === undefined) return 'absent';
    const { namespace, name } = parseKey(key);
    const own = () =>
      view
        .slices(namespace, federatedName(name))
        .filter((slice) => hasOwnershipLabels(slice, memberLabel(member)));
    return union !== 'none' && lostAllSlices(members, key) && readyAddresses(own()).length > 0
      ? 'emptied'
      : 'there';
  }

  #priorityOf(key: string): number {
    const { members } = this.#options;
    if (!members.synced) return PRIORITY.bulk;
    const withdrawn = members.endpointsKnown(key) && members.endpointsOf(key).ready === 0;
    return withdrawn ? PRIORITY.withdrawal : PRIORITY.change;
  }
}

import type { V1Service } from '@kubernetes/client-node';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import { readAnnotation } from '../../api/annotations.ts';
import type { EgressPorts } from '../../api/egress/egress-ports.ts';
import type { RecordedGateway } from '../../api/egress/egress-record.ts';
import { EXPORT_GATEWAY_NAMESPACE, EXPORTED_LABEL } from '../../api/names.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import type { ExportView } from '../../exports/export-view.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { familyGap } from '../objects/address-families.ts';
import { relayedTargets } from './desired-mirror.ts';
import type { ClaimState, DropGuard } from '../removals/drop-guard.ts';
import type { EgressAllocator } from '../egress-ports/egress-allocator.ts';
import { readyAddresses, type MirrorAddress } from '../objects/mirrored-endpoints.ts';
import type { GatewayFacts, LinkFacts, MirrorFacts } from '../reconcile/mirror-facts.ts';
import { GracePeriods, type Sight } from '../removals/grace-periods.ts';
import { HostMirrors } from './host-mirrors.ts';
import { OWNER_INDEX, servicesOfChange } from '../reconcile/local-indexes.ts';
import { QUOTA_RECHECK_MS, type ExistingImport, type Importer } from '../reconcile/importer.ts';
import { hostOriginOf, keyOfObject, mirrorName, originOf, parseKey } from '../../api/mirror/mirror-names.ts';
import { plan } from './mirror-plan.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import { NOTHING_OF_OURS } from '../../api/reasons/mirror-reasons.ts';
import { takesSelector } from '../reconcile/steps.ts';
import { PRIORITY, Reconciler, type Decision, type ReconcilerOptions } from '../reconcile/reconciler.ts';
import { decide, modeOf, type Verdict } from './mirror-verdict.ts';

/**
 * How long a Service must be without any slice before its mirror is emptied. kube keeps at least an empty slice; where people or operators make slices, each such Service
 * has a watch of its own, and a target that lost its data shows that one watch after the other: too slowly for the drop guard to see it in time.
 */
export const EMPTIED_GRACE_MS = 5000;

export interface MirrorReconcilerOptions extends Omit<ReconcilerOptions, 'what' | 'decide'> {
  readonly link: Link;
  readonly facts: LinkFacts;
  readonly exports: ExportView;
  readonly guard: DropGuard;
  readonly importer: Importer;
  /** The gateway that an export goes through; undefined where there is none. */
  readonly gatewayOf: (remote: V1Service | undefined) => GatewayFacts | undefined;
  readonly egress: EgressAllocator;
  readonly egressAddresses: () => readonly MirrorAddress[];
  /** How long the endpoint mirror of a host that is gone stays: a pod of a StatefulSet that restarts keeps its ClusterIP. */
  readonly hostGraceMs: number;
}

/** Keeps the mirrors of one Link: `<svc>-<cluster>`, through the gateway or flat, headless ones with their endpoint mirrors. */
export class MirrorReconciler {
  readonly #options: MirrorReconcilerOptions;
  readonly #reconciler: Reconciler;
  readonly #unsubscribe: (() => void)[] = [];
  readonly #hosts: HostMirrors;
  /** Exports whose slices are all gone. */
  readonly #emptied: GracePeriods;

  constructor(options: MirrorReconcilerOptions) {
    this.#options = options;
    this.#hosts = new HostMirrors(options);
    this.#emptied = new GracePeriods(options.clock, EMPTIED_GRACE_MS);
    this.#reconciler = new Reconciler({
      ...options,
      what: 'mirror',
      decide: (key) => this.#decide(key),
    });
  }

  get reconciler(): Reconciler {
    return this.#reconciler;
  }

  /** Follows what changes here and over there. */
  start(): void {
    const { exports, view, importer } = this.#options;
    importer.seed(this.mirrors().flatMap((key) => this.#existing(key)));
    this.#unsubscribe.push(
      exports.subscribe((key) => {
        this.#note(key);
        this.#reconciler.add(key, this.#priorityOf(key));
      }),
      view.stores.services.subscribe('mirrors: Services', ({ object, previous }) => {
        const before = previous === undefined ? undefined : this.#localKey(previous);
        const key = this.#localKey(object);
        if (before !== undefined && before !== key) this.#touched(before);
        if (key === undefined) return;
        // Nobody else writes these Services, so what we hear of our own write is no reason to look again.
        if (view.isEcho('services', object)) this.#note(key);
        else this.#touched(key);
      }),
      view.stores.endpoints.subscribe('mirrors: Endpoints', ({ object }) => {
        if (!view.isEcho('endpoints', object)) this.#partChanged(keyOfObject(object));
      }),
      view.stores.endpointSlices.subscribe('mirrors: EndpointSlices', (change) => {
        if (view.isEcho('endpointSlices', change.object)) return;
        for (const service of servicesOfChange(change)) this.#partChanged(service);
      }),
      view.stores.namespaces.subscribe('mirrors: Namespaces', (change) => this.#namespaceChanged(change.key)),
    );
    for (const key of this.mirrors()) {
      this.#note(key);
      if (importer.refusal(key) !== undefined) this.#reconciler.add(key, PRIORITY.withdrawal);
    }
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#reconciler.stop();
  }

  /** Looks at every export and every mirror again. */
  resync(priority: number): void {
    const keys = new Set([...this.#options.exports.services.keys(), ...this.mirrors()]);
    for (const key of keys) {
      this.#note(key);
      this.#reconciler.add(key, priority);
    }
  }

  /** Keys of the mirrors that exist here. */
  mirrors(): string[] {
    const { view, facts } = this.#options;
    const found = new Set<string>();
    for (const index of [`cluster:${facts.cluster}`, `link:${facts.link}`]) {
      for (const service of view.stores.services.byIndex(OWNER_INDEX, index)) {
        const key = originOf(service, facts);
        if (key !== undefined) found.add(key);
      }
    }
    return [...found];
  }

  /** The facts and the verdict of a key as they are now; for `explain`. */
  look(key: string): { readonly facts: MirrorFacts; readonly verdict: Verdict; readonly mode: string } {
    const facts = this.#gather(key, 'look');
    return { facts, verdict: decide(facts), mode: modeOf(facts) };
  }

  #decide(key: string): Decision {
    const facts = this.#gather(key, 'act');
    const verdict = decide(facts);
    const { emptiedGraceMs, hosts, imports } = facts;
    const waits = [
      emptiedGraceMs,
      ...hosts.map(({ graceMs }) => graceMs),
      imports.heldMs,
      verdict.reason === 'ImportQuotaExceeded' ? QUOTA_RECHECK_MS : 0,
    ].filter((ms) => ms > 0);
    const steps = plan(facts, verdict);
    const halfway = verdict.action === 'mirror' && (facts.hosts.length > 0 || steps[0]?.verb === 'delete');
    return {
      reason: verdict.reason,
      message: verdict.message,
      notes: verdict.notes,
      local: mirrorName(facts.key.name, facts.link.cluster),
      steps,
      gone: verdict.reason === 'NotExported' && facts.remote === undefined,
      // Endpoint mirrors have their address only now; a Service that is made anew has only been deleted.
      again: steps.length > 0 && (halfway || verdict.action === 'namespace' || takesSelector(steps)),
      recheckMs: waits.length === 0 ? undefined : Math.min(...waits),
      after: () => {
        this.#settleClaims(facts, verdict);
        this.#familyChosen(facts, verdict);
      },
    };
  }

  /** The API server chooses the family of a new mirror's ClusterIP, which may be one that its endpoints do not have. */
  #familyChosen({ key, local }: MirrorFacts, verdict: Verdict): void {
    if (local.service !== undefined || verdict.action !== 'mirror') return;
    const [{ service: made, slices } = { service: undefined, slices: [] }] = verdict.parts;
    const service = this.#options.view.service(key.namespace, made?.metadata?.name ?? '');
    const text = `${key.namespace}/${key.name}`;
    if (familyGap([{ service, slices }]) !== undefined) this.#reconciler.add(text, PRIORITY.change);
  }

  /** Egress ports that nothing leads to any more are given back, by the rules by which mirrors go: when the target is known not to export. */
  #settleClaims({ key, link, remote, synced, egressPorts }: MirrorFacts, { action, reason }: Verdict): void {
    const gone =
      action === 'remove' ||
      NOTHING_OF_OURS.has(reason) ||
      (remote === undefined && synced && reason === 'NotExported');
    if (action !== 'mirror' && !gone) return;
    const scope = { cluster: link.cluster, export: `${key.namespace}/${key.name}`, federated: false };
    const wanted = [...(gone ? [] : egressPorts)].map(
      ([name, ports]) => [`${key.namespace}/${name}`, Object.keys(ports).map(Number)] as const,
    );
    this.#options.egress.settle(scope, new Map(wanted));
  }

  /** @param sight `look`: no port is claimed, no grace begins or ends */
  #gather(text: string, sight: Sight): MirrorFacts {
    const { exports, view, facts: link, guard, gatewayOf } = this.#options;
    const key = parseKey(text);
    const local = view.part(key.namespace, mirrorName(key.name, link.cluster));
    const remote = this.#exported(text);
    const remoteSlices = exports.slicesOf(text);
    const claim = this.#claimState(text, remote);
    const emptiedGraceMs = claim === 'emptied' ? this.#emptied.left(text, sight) : 0;
    if (claim !== 'emptied') this.#emptied.end(text, sight);
    const known = emptiedGraceMs === 0 && exports.endpointsKnown(text);
    const flat = this.#isFlat(remote);
    const { hosts, formerHosts } = this.#hosts.of(key, {
      known,
      slices: link.headless && !flat && isHeadless(remote) ? remoteSlices : undefined,
      sight,
    });
    const facts = {
      key,
      link,
      synced: exports.synced,
      removalsHeld: claim !== 'there' && guard.held(text),
      remote,
      remoteReady: known ? exports.endpointsOf(text).ready : undefined,
      emptiedGraceMs,
      remoteSlices,
      flat,
      namespace: view.namespace(key.namespace),
      local,
      hosts,
      formerHosts,
      gateway: gatewayOf(remote),
      egress: this.#options.egressAddresses(),
      egressPorts: new Map<string, EgressPorts>(),
      egressUnrecorded: true,
    };
    const whole = { ...facts, imports: this.#imports(text, facts, sight) };
    const relayed = relayedTargets(whole);
    // Only what nothing else keeps from being mirrored, the import policy among it, claims ports.
    if (relayed.size === 0 || decide(whole).reason !== 'EgressPortsUnrecorded') return whole;
    return { ...whole, ...this.#egressPorts(whole, relayed, sight) };
  }

  /** What the import policy says, with the room that the mirror takes as it would be. */
  #imports(text: string, facts: Omit<MirrorFacts, 'imports'>, sight: Sight): MirrorFacts['imports'] {
    const { remote, local, hosts } = facts;
    const ports = remote === undefined ? 0 : mirroredPorts(remote).length;
    const request = {
      key: text,
      claim: text,
      remote,
      exists: local.service !== undefined && originOf(local.service, facts.link) === text,
      mirrors: 1 + hosts.length,
      egressPorts: relayedTargets(facts).size * ports,
    };
    return this.#options.importer.judge(request, sight);
  }

  /** The mirror of a key that exists here. */
  #existing(key: string): ExistingImport[] {
    const { view, facts } = this.#options;
    const { namespace, name } = parseKey(key);
    const service = view.service(namespace, mirrorName(name, facts.cluster));
    const hosts = this.#hosts.existing(parseKey(key)).size;
    return service === undefined ? [] : [{ claim: key, service, hosts, relayed: facts.dataPath === 'relay' }];
  }

  /** The Service if this Link mirrors it: the view may hold federated members and Services whose label has just changed. */
  #exported(key: string): V1Service | undefined {
    const { exports, link } = this.#options;
    const service = exports.services.get(key);
    return service !== undefined && isExported(service, link) ? service : undefined;
  }

  #egressPorts(
    { key, link, remote, gateway }: MirrorFacts,
    relayed: ReadonlyMap<string, string>,
    sight: Sight,
  ): Pick<MirrorFacts, 'egressPorts' | 'egressUnrecorded'> {
    const { egress } = this.#options;
    const egressPorts = new Map<string, EgressPorts>();
    let egressUnrecorded = false;
    const wish = {
      export: `${key.namespace}/${key.name}`,
      link: link.link,
      cluster: link.cluster,
      servicePorts: mirroredPorts(remote ?? {}).map(({ port }) => port),
      ...(gateway?.own === true ? { gateway: recordedGateway(gateway) } : {}),
    };
    for (const [name, target] of relayed) {
      const mirror = `${key.namespace}/${name}`;
      const asked = { ...wish, mirror, target };
      const ports = sight === 'look' ? egress.look(asked) : egress.allocate(asked);
      if (ports === 'unrecorded') egressUnrecorded = true;
      else if (ports !== 'exhausted') egressPorts.set(name, ports);
    }
    return { egressPorts, egressUnrecorded };
  }

  #isFlat(remote: V1Service | undefined): boolean {
    return (
      remote !== undefined && this.#options.link.remoteDiscoverySelector.matches(remote.metadata?.labels)
    );
  }

  #priorityOf(key: string): number {
    const { exports } = this.#options;
    // What a first list brings is bulk; what changes after it is news.
    if (!exports.synced) return PRIORITY.bulk;
    const withdrawn = exports.endpointsKnown(key) && exports.endpointsOf(key).ready === 0;
    return withdrawn ? PRIORITY.withdrawal : PRIORITY.change;
  }

  /** Tells the drop guard what exists here and over there. */
  #note(key: string): void {
    const { guard, view, facts } = this.#options;
    const { namespace, name } = parseKey(key);
    const local = view.stores.services.get(`${namespace}/${mirrorName(name, facts.cluster)}`);
    const claimed = local !== undefined && originOf(local, facts) === key;
    this.#options.importer.note(key, claimed);
    guard.note(key, claimed, this.#claimState(key, this.#exported(key)));
  }

  #claimState(key: string, remote: V1Service | undefined): ClaimState {
    const { exports, view, facts } = this.#options;
    if (remote === undefined) return 'absent';
    const { namespace, name } = parseKey(key);
    const slices = () => view.slices(namespace, mirrorName(name, facts.cluster));
    return lostAllSlices(exports, key) && readyAddresses(slices()).length > 0 ? 'emptied' : 'there';
  }

  #touched(key: string): void {
    this.#note(key);
    this.#reconciler.add(key, PRIORITY.change);
  }

  /** Which export a Service here is for, if it is one of this Link's. */
  #localKey(service: V1Service): string | undefined {
    const { facts } = this.#options;
    return originOf(service, facts) ?? hostOriginOf(service, facts)?.key;
  }

  /** Endpoints and slices are found back through the Service that they belong to. */
  #partChanged(service: string): void {
    const { view, facts, exports } = this.#options;
    const local = view.stores.services.get(service);
    if (local !== undefined) {
      const key = this.#localKey(local);
      if (key !== undefined) this.#touched(key);
      return;
    }
    // The Service may be gone or not seen yet; its name says which export it was for.
    const { namespace, name } = parseKey(service);
    const suffix = `-${facts.cluster}`;
    const key = `${namespace}/${name.slice(0, -suffix.length)}`;
    if (name.endsWith(suffix) && exports.services.get(key) !== undefined)
      this.#reconciler.add(key, PRIORITY.change);
  }

  #namespaceChanged(namespace: string): void {
    for (const key of this.#options.exports.services.keys()) {
      if (parseKey(key).namespace === namespace) this.#reconciler.add(key, PRIORITY.change);
    }
  }
}

/** The gateway that the egress should use instead of the Link's; also its dead addresses, as the egress finds out for itself. */
function recordedGateway({ known, port, identity }: GatewayFacts): RecordedGateway | null {
  return known.length === 0 ? null : { addresses: [...known].sort(), port, identity };
}

/** Whether an export is known to have no slice at all, not even an empty one. */
export function lostAllSlices(exports: ExportView, key: string): boolean {
  return exports.endpointsKnown(key) && exports.slicesOf(key).length === 0;
}

/** Whether a Link mirrors a Service: by label, or by the older annotations where the view lets those through. */
export function isExported(service: V1Service, link: Link): boolean {
  return isLabelled(service, link) || isAnnotated(service, link);
}

/**
 * Whether one of a Link's two mirror selectors matches a Service. What mirroring itself made is no export, whatever labels it got by copying: two clusters that
 * link each other by a label of their own would mirror each other's mirrors for ever.
 */
export function isLabelled(service: V1Service, link: Link): boolean {
  if (isMirrored(service)) return false;
  const labels = service.metadata?.labels;
  return link.selector.matches(labels) || link.remoteDiscoverySelector.matches(labels);
}

/** Whether a Service is exported only by the older annotations. */
export function isAnnotated(service: V1Service, link: Link): boolean {
  const annotations = service.metadata?.annotations;
  if (link.selector.empty || isMirrored(service) || isLabelled(service, link)) return false;
  return (
    readAnnotation(annotations, EXPORTED_LABEL) === 'true' ||
    (readAnnotation(annotations, EXPORT_GATEWAY_NAMESPACE) ?? '') !== ''
  );
}

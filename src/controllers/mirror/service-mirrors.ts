import { keyOf } from '../../api/kubernetes/resource.ts';
import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { RecordedGateway } from '../../api/egress/egress-record.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { mirrorName, parseKey, type RemoteKey } from '../../api/mirror/mirror-names.ts';
import { hostOriginOf, originOf } from '../../api/mirror/ownership.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import type { ExportView } from '../../exports/export-view.ts';
import { hasPolicy, rulesFor } from '../failover/facts-rules.ts';
import { pathSeen, type Watched } from '../failover/published-facts.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import type { ImportFacts, LinkImports } from '../imports/link-imports.ts';
import { OWNER_INDEX } from '../reconcile/local-indexes.ts';
import { servicesOfChange } from '../../exports/slices-by-service.ts';
import type { GatewayFacts, LinkFacts, MirrorFacts } from '../reconcile/mirror-facts.ts';
import { ownSlices, type Step } from '../reconcile/steps.ts';
import { relayedTargets } from './desired-mirror.ts';
import { formOf } from './headless.ts';
import { HostMirrors } from './host-mirrors.ts';
import type { ImportStrategy, KeyListener, SeenFacts } from '../import-reconciler/import-strategy.ts';
import { plan } from './mirror-plan.ts';
import type { WeighedServices } from '../failover/weighed-services.ts';
import { WeightsFirst } from '../failover/weights-first.ts';
import { ImportReconciler, type WritingOptions } from '../import-reconciler/import-reconciler.ts';
import { decide, modeOf, type Verdict } from './mirror-verdict.ts';
import { isExported } from './selected-exports.ts';

/** What the reconciler of one Link's mirrors needs. */
export interface ServiceMirrorsOptions extends WritingOptions {
  readonly link: Link;
  readonly facts: LinkFacts;
  readonly exports: ExportView;
  readonly linkImports: LinkImports;
  /** The gateway that an export goes through; undefined where there is none. */
  readonly gatewayOf: (remote: V1Service | undefined) => GatewayFacts | undefined;
  /** Whether the Link has a place in failover for all Services of its cluster; default no. */
  readonly inFailover?: () => boolean;
  /** As `TargetDependencies.weighed`. */
  readonly weighed?: WeighedServices | undefined;
  /** As `HostMirrorsOptions.hostGraceMs`. */
  readonly hostGraceMs: number;
}

/**
 * Keeps the mirrors of one Link: `<svc>-<cluster>`, through the gateway or flat, headless ones with their
 * endpoint mirrors.
 */
export function serviceMirrors(options: ServiceMirrorsOptions): ImportReconciler<MirrorFacts, Verdict> {
  return new ImportReconciler<MirrorFacts, Verdict>(options, new ServiceMirrors(options));
}

/** What mirrors do differently from other imports. */
class ServiceMirrors implements ImportStrategy<MirrorFacts, Verdict> {
  readonly what = 'mirror';
  readonly countsRefusals = true;
  readonly decide = decide;
  readonly plan = plan;
  readonly modeOf = modeOf;
  readonly relayed = relayedTargets;
  readonly #options: ServiceMirrorsOptions;
  readonly #hosts: HostMirrors;
  readonly #weightsFirst: WeightsFirst<Pick<MirrorFacts, 'gateway' | 'remoteReady'>> | undefined;

  constructor(options: ServiceMirrorsOptions) {
    this.#options = options;
    const { weighed, clock } = options;
    this.#weightsFirst = weighed === undefined ? undefined : new WeightsFirst(weighed, clock);
    this.#hosts = new HostMirrors(options);
  }

  get exports(): ExportView {
    return this.#options.exports;
  }

  get claimant(): { readonly cluster: string } {
    return { cluster: this.#options.facts.cluster };
  }

  get usualMode(): string {
    return this.#options.facts.dataPath;
  }

  claimOf(key: string): string {
    return key;
  }

  localName(name: string): string {
    return mirrorName(name, this.#options.facts.cluster);
  }

  /**
   * The exported Service. The view may also hold federated members, and Services whose label has just
   * changed.
   */
  exported(key: string): V1Service | undefined {
    const { exports, link } = this.#options;
    const service = exports.services.get(key);
    return service !== undefined && isExported(service, link) ? service : undefined;
  }

  keys(): string[] {
    const { view, facts } = this.#options;
    const { services } = view.stores;
    // Nearly all are in both, and are looked at once.
    const ours = new Set(services.byIndex(OWNER_INDEX, `cluster:${facts.cluster}`));
    for (const service of services.byIndex(OWNER_INDEX, `link:${facts.link}`)) ours.add(service);
    const found = new Set<string>();
    for (const service of ours) {
      const key = originOf(service, facts);
      if (key !== undefined) found.add(key);
    }
    return [...found];
  }

  standsFor(service: V1Service, key: string): boolean {
    return originOf(service, this.#options.facts) === key;
  }

  existing(key: RemoteKey, service: V1Service) {
    const relayed = this.#options.facts.dataPath === 'relay';
    return { service, hosts: this.#hosts.existing(key).size, relayed };
  }

  slicesToLose({ namespace, name }: RemoteKey): readonly V1EndpointSlice[] {
    return this.#options.view.slices(namespace, this.localName(name));
  }

  follow({ note, touched, add }: KeyListener): (() => void)[] {
    const { view } = this.#options;
    const partChanged = (service: string) => this.#partChanged(service, { touched, add });
    return [
      view.stores.services.subscribe('mirrors: Services', ({ object, previous }) => {
        const before = previous === undefined ? undefined : this.#keyOf(previous);
        const key = this.#keyOf(object);
        if (before !== undefined && before !== key) touched(before);
        if (key === undefined) return;
        // Our own write, which the watch brings back, is no reason to reconcile again.
        if (view.isEcho('services', object)) note(key);
        else touched(key);
      }),
      view.stores.endpoints.subscribe('mirrors: Endpoints', ({ object }) => {
        if (!view.isEcho('endpoints', object)) partChanged(keyOf(object));
      }),
      view.stores.endpointSlices.subscribe('mirrors: EndpointSlices', (change) => {
        if (view.isEcho('endpointSlices', change.object)) return;
        for (const service of servicesOfChange(change)) partChanged(service);
      }),
      // Its facts are asked for, or not any more.
      this.#options.weighed?.follow(partChanged) ?? (() => undefined),
    ];
  }

  facts(seen: SeenFacts, known: boolean): MirrorFacts {
    const { exports, view, facts: link, gatewayOf } = this.#options;
    const { key, remote } = seen;
    const remoteSlices = exports.slicesOf(`${key.namespace}/${key.name}`);
    const flat = this.#isFlat(remote);
    const slices = link.headless && !flat && isHeadless(remote) ? remoteSlices : undefined;
    const facts = {
      ...seen,
      link,
      remoteSlices,
      flat,
      local: view.part(key.namespace, this.localName(key.name)),
      ...this.#hosts.of(key, { known, slices }),
      gateway: gatewayOf(remote),
    };
    return { ...facts, imports: this.#imports(facts) };
  }

  /**
   * Only where somebody divides requests among such mirrors: their Link has a place in failover, the mirror
   * has a policy, or it is a backend whose weight is managed. A mirror by itself is two writes, and stays so.
   */
  watched(facts: MirrorFacts): Watched | undefined {
    const { flat, local, gateway, link } = facts;
    const { inFailover, weighed } = this.#options;
    const isWeighed = local.service !== undefined && weighed?.has(keyOf(local.service)) === true;
    const asked = isWeighed || inFailover?.() === true || hasPolicy(local.service);
    if (!asked || flat || formOf(facts) === 'headless') return undefined;
    const rules = rulesFor(local.service, link.cluster);
    return { path: pathSeen(gateway), rules, slices: ownSlices(local) };
  }

  hold(facts: MirrorFacts): { readonly facts: MirrorFacts; readonly ms: number } | undefined {
    const { key, gateway, remoteReady } = facts;
    const lost = pathSeen(gateway) === 'dead' || remoteReady === 0;
    const service = `${key.namespace}/${this.localName(key.name)}`;
    const held = this.#weightsFirst?.hold(service, { gateway, remoteReady }, lost);
    return held === undefined ? undefined : { facts: { ...facts, ...held.facts }, ms: held.ms };
  }

  wish({ link, gateway }: MirrorFacts) {
    return {
      link: link.link,
      ...(gateway?.own === true ? { gateway: recordedGateway(gateway) } : {}),
    };
  }

  wanted(verdict: Verdict): readonly V1EndpointSlice[] | undefined {
    return verdict.action === 'mirror' ? (verdict.parts[0]?.slices ?? []) : undefined;
  }

  here({ local }: MirrorFacts): V1Service | undefined {
    return local.service;
  }

  /**
   * After these writes endpoint mirrors have their ClusterIPs, which the headless mirror needs; and a Service
   * that is made again has only been deleted.
   */
  isHalfway({ hosts }: MirrorFacts, { action }: Verdict, [first]: readonly Step[]): boolean {
    return action === 'mirror' && (hosts.length > 0 || first?.verb === 'delete');
  }

  waits({ hosts, imports }: MirrorFacts): number[] {
    return [...hosts.map(({ graceMs }) => graceMs), imports.heldMs];
  }

  /** What the import policy says, with the room that the mirror would take. */
  #imports(facts: Omit<MirrorFacts, 'imports'>): ImportFacts {
    const { key, remote, local, hosts } = facts;
    const text = `${key.namespace}/${key.name}`;
    const ports = remote === undefined ? 0 : mirroredPorts(remote).length;
    const request = {
      key: text,
      claim: text,
      remote,
      exists: local.service !== undefined && this.standsFor(local.service, text),
      mirrors: 1 + hosts.length,
      egressPorts: relayedTargets(facts).size * ports,
    };
    return this.#options.linkImports.judge(request);
  }

  #isFlat(remote: V1Service | undefined): boolean {
    return (
      remote !== undefined && this.#options.link.remoteDiscoverySelector.matches(remote.metadata?.labels)
    );
  }

  /**
   * The key of the export that a Service here is the mirror or an endpoint mirror of, if it is this Link's.
   */
  #keyOf(service: V1Service): string | undefined {
    const { facts } = this.#options;
    return originOf(service, facts) ?? hostOriginOf(service, facts)?.key;
  }

  /** Endpoints or a slice of a Service (`namespace/name`) have changed. */
  #partChanged(service: string, { touched, add }: Pick<KeyListener, 'touched' | 'add'>): void {
    const { view, facts, exports } = this.#options;
    const local = view.stores.services.get(service);
    if (local !== undefined) {
      const key = this.#keyOf(local);
      if (key !== undefined) touched(key);
      return;
    }
    // The Service may be gone or not seen yet; its name says which export it was for.
    const { namespace, name } = parseKey(service);
    const suffix = `-${facts.cluster}`;
    const key = `${namespace}/${name.slice(0, -suffix.length)}`;
    if (name.endsWith(suffix) && exports.services.get(key) !== undefined) add(key);
  }
}

/**
 * The gateway that the egress should use instead of the Link's, its dead addresses included: the egress finds
 * that out by itself. Null: it has no known address.
 */
function recordedGateway({ known, port, identity }: GatewayFacts): RecordedGateway | null {
  return known.length === 0 ? null : { addresses: [...known].sort(), port, identity };
}

import { keyOf } from '../../api/kubernetes/resource.ts';
import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import type { RecordedGateway } from '../../api/egress/egress-record.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { mirrorName, parseKey, type RemoteKey } from '../../api/mirror/mirror-names.ts';
import { hostOriginOf, originOf } from '../../api/mirror/ownership.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import type { ExportView } from '../../exports/export-view.ts';
import { mirroredPorts } from '../objects/mirrored-ports.ts';
import type { ImportFacts, LinkImports } from '../imports/link-imports.ts';
import { OWNER_INDEX, servicesOfChange } from '../reconcile/local-indexes.ts';
import type { GatewayFacts, LinkFacts, MirrorFacts } from '../reconcile/mirror-facts.ts';
import type { Step } from '../reconcile/steps.ts';
import { relayedTargets } from './desired-mirror.ts';
import { HostMirrors } from './host-mirrors.ts';
import type { ImportStrategy, Noticing, SeenFacts } from '../import-reconciler/import-strategy.ts';
import { plan } from './mirror-plan.ts';
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
  /**
   * How long the endpoint mirror of a host that is gone stays: a pod of a StatefulSet that restarts keeps its
   * ClusterIP. Milliseconds.
   */
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

  constructor(options: ServiceMirrorsOptions) {
    this.#options = options;
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

  /** The view may hold federated members, and Services whose label has just changed. */
  exported(key: string): V1Service | undefined {
    const { exports, link } = this.#options;
    const service = exports.services.get(key);
    return service !== undefined && isExported(service, link) ? service : undefined;
  }

  keys(): string[] {
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

  follow({ note, touched, add }: Noticing): (() => void)[] {
    const { view } = this.#options;
    const partChanged = (service: string) => this.#partChanged(service, { touched, add });
    return [
      view.stores.services.subscribe('mirrors: Services', ({ object, previous }) => {
        const before = previous === undefined ? undefined : this.#keyOf(previous);
        const key = this.#keyOf(object);
        if (before !== undefined && before !== key) touched(before);
        if (key === undefined) return;
        // Nobody else writes these Services, so the echo of our own write is no reason to reconcile again.
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
   * Only now do endpoint mirrors have their address; a Service that is to be made anew has only been deleted
   * so far.
   */
  isHalfway({ hosts }: MirrorFacts, { action }: Verdict, [first]: readonly Step[]): boolean {
    return action === 'mirror' && (hosts.length > 0 || first?.verb === 'delete');
  }

  waits({ hosts, imports }: MirrorFacts): number[] {
    return [...hosts.map(({ graceMs }) => graceMs), imports.heldMs];
  }

  /** What the import policy says, with the room that the mirror takes as it would be. */
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

  /** Which export a Service here is for, if it is one of this Link's. */
  #keyOf(service: V1Service): string | undefined {
    const { facts } = this.#options;
    return originOf(service, facts) ?? hostOriginOf(service, facts)?.key;
  }

  /** Endpoints and slices lead to the Service that they belong to. */
  #partChanged(service: string, { touched, add }: Pick<Noticing, 'touched' | 'add'>): void {
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
 * out for itself.
 */
function recordedGateway({ known, port, identity }: GatewayFacts): RecordedGateway | null {
  return known.length === 0 ? null : { addresses: [...known].sort(), port, identity };
}

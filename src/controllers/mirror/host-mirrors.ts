import type { V1EndpointSlice } from '@kubernetes/client-node';
import type { Clock } from '../../base/clock.ts';
import type { HostFacts, LinkFacts, LocalPart } from '../reconcile/mirror-facts.ts';
import { GracePeriods } from '../removals/grace-periods.ts';
import { hostsOf } from './headless.ts';
import type { LinkImports } from '../imports/link-imports.ts';
import type { LocalView } from '../reconcile/local-view.ts';
import { endpointMirrorName, mirrorName, type RemoteKey } from '../../api/mirror/mirror-names.ts';
import { hostOriginOf } from '../../api/mirror/ownership.ts';

/** One Link's facts, and where its endpoint mirrors are found. */
export interface HostMirrorsOptions {
  readonly facts: LinkFacts;
  readonly view: LocalView;
  readonly linkImports: LinkImports;
  readonly clock: Clock;
  /**
   * How long the endpoint mirror of a host that is gone stays, milliseconds, so that a pod of a StatefulSet
   * that restarts keeps its ClusterIP.
   */
  readonly hostGraceMs: number;
}

const NOTHING: LocalPart = { service: undefined, slices: [], endpoints: undefined };

/** The hosts of one Link's headless Services and their endpoint mirrors. */
export class HostMirrors {
  readonly #options: HostMirrorsOptions;
  /** Hosts that are gone, within their grace periods. */
  readonly #missed: GracePeriods;

  constructor(options: HostMirrorsOptions) {
    this.#options = options;
    this.#missed = new GracePeriods(options.clock, options.hostGraceMs);
  }

  /**
   * The hosts of a headless Service, and the endpoint mirrors that are no longer wanted.
   * @param there `known`: whether the target's slices are known; where not, the hosts are those that have
   * endpoint mirrors, and none counts as gone. `slices`: the target's; undefined: the Service is not mirrored
   * host by host
   * @returns `hosts`: those in the target, and those that are gone within their grace periods; `formerHosts`:
   * endpoint mirrors of others
   */
  of(
    key: RemoteKey,
    there: {
      readonly known: boolean;
      readonly slices: readonly V1EndpointSlice[] | undefined;
    },
  ): { hosts: readonly HostFacts[]; formerHosts: readonly LocalPart[] } {
    const existing = this.existing(key);
    const { slices, known } = there;
    if (slices === undefined) return { hosts: [], formerHosts: [...existing.values()] };
    if (!known) {
      const kept = [...existing].map(([host, part]) =>
        this.#host(key, { host, ready: false, graceMs: 0 }, part),
      );
      return { hosts: kept, formerHosts: [] };
    }
    const missedKey = (host: string) => `${key.namespace}/${key.name} ${host}`;
    const wanted = hostsOf(slices);
    for (const host of wanted.keys()) this.#missed.end(missedKey(host));
    const present = [...wanted].map(([host, ready]) =>
      this.#host(key, { host, ready, graceMs: 0 }, existing.get(host)),
    );
    const lingering = [...existing.keys()]
      .filter((host) => !wanted.has(host))
      .map((host) => ({ host, ready: false, graceMs: this.#missed.left(missedKey(host)) }))
      .filter(({ graceMs }) => graceMs > 0)
      .map((host) => this.#host(key, host, existing.get(host.host)));
    const hosts = [...present, ...lingering];
    const kept = new Set(hosts.map(({ host }) => host));
    const formerHosts = [...existing].filter(([host]) => !kept.has(host)).map(([, part]) => part);
    return { hosts, formerHosts };
  }

  /** The endpoint mirrors that exist, by host. */
  existing({ namespace, name }: RemoteKey): Map<string, LocalPart> {
    const { view, facts } = this.#options;
    const existing = new Map<string, LocalPart>();
    for (const service of view.endpointMirrors(namespace, mirrorName(name, facts.cluster))) {
      const origin = hostOriginOf(service, facts);
      if (origin?.key === `${namespace}/${name}`)
        existing.set(origin.host, view.part(namespace, service.metadata?.name ?? ''));
    }
    return existing;
  }

  #host(
    { namespace, name }: RemoteKey,
    host: Pick<HostFacts, 'host' | 'ready' | 'graceMs'>,
    existing: LocalPart | undefined,
  ): HostFacts {
    const { view, facts, linkImports } = this.#options;
    const free = (candidate: string) =>
      linkImports.takesHost(namespace, host.host) && view.service(namespace, candidate) === undefined;
    const local = existing ?? this.#unlabelled(host.host, { namespace, name }) ?? NOTHING;
    const own = local.service?.metadata?.name ?? endpointMirrorName(host.host, name, facts.cluster, free);
    return { ...host, name: own, local };
  }

  /** An endpoint mirror of ours from which somebody has removed the label by which it is found. */
  #unlabelled(host: string, { namespace, name }: RemoteKey): LocalPart | undefined {
    const { view, facts } = this.#options;
    for (const isFree of [true, false]) {
      const candidate = endpointMirrorName(host, name, facts.cluster, () => isFree);
      const service = view.service(namespace, candidate);
      const origin = service === undefined ? undefined : hostOriginOf(service, facts);
      if (origin?.key === `${namespace}/${name}` && origin.host === host)
        return view.part(namespace, candidate);
    }
    return undefined;
  }
}

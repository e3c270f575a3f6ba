import type { V1EndpointSlice } from '@kubernetes/client-node';
import { FAILOVER_POLICY, FAILOVER_TIERS } from '../../src/api/failover/failover-names.ts';
import { endpointSlices, services } from '../../src/api/kubernetes/resource.ts';
import { type BackendRow, failoverRows, readFailover } from '../../src/cli/queries/failover-rows.ts';
import { change, clientOf, findService, findSlices, remove } from '../../test/support/cluster-objects.ts';
import type { Places } from '../../test/e2e/programs/open-loop.mts';
import type { Place } from '../../test/e2e/programs/open-loop-clients.mts';
import { eventually } from '../../test/support/eventually.ts';
import type { Stage } from './stage.ts';
import { endpointsOf, LINKS, memberManifests, NAMESPACE, originPorts, sliceName } from './support/objects.ts';
import { originAddresses, type Target, TARGETS } from './support/targets.ts';

export interface ServiceOptions {
  /** `failover.linkspan.dev/tiers` of the federated Service; undefined: none. */
  readonly tiers?: string;
  /** `failover.linkspan.dev/policy`; undefined: the defaults. */
  readonly policy?: string;
}

const wait = { timeoutMs: 60_000, everyMs: 20 };

/** A federated Service in the source, and its members in both targets. */
export class BenchService {
  readonly name: string;
  readonly #stage: Stage;

  constructor(name: string, stage: Stage) {
    this.name = name;
    this.#stage = stage;
  }

  /** Makes it. @returns when both members are known to be whole, and its ports are published */
  async create({ tiers, policy }: ServiceOptions): Promise<void> {
    const { east } = this.#stage;
    await Promise.all(
      TARGETS.map((target, index) =>
        this.#stage
          .cluster(target)
          .apply(memberManifests({ name: this.name, target: index, addresses: originAddresses() })),
      ),
    );
    const ref = { namespace: NAMESPACE, name: this.#federated };
    await eventually(`${ref.name} is there`, () => findService(east, NAMESPACE, ref.name), wait);
    const annotations = {
      ...(tiers === undefined ? {} : { [FAILOVER_TIERS]: tiers }),
      ...(policy === undefined ? {} : { [FAILOVER_POLICY]: policy }),
    };
    if (Object.keys(annotations).length > 0) await change(east, services, ref, { metadata: { annotations } });
    await eventually(
      `${ref.name} is whole`,
      async () => {
        const whole = (await this.members()).filter(
          ({ path, ready }) => path === 'alive' && ready === originAddresses().length,
        );
        const { http, http2, raw } = await this.places();
        return whole.length === TARGETS.length && [http, http2, raw].every((ports) => ports.length === 1);
      },
      wait,
    );
  }

  /** What is decided about its members, from what is published: as `linkspan failover` tells it. */
  async members(): Promise<readonly BackendRow[]> {
    const objects = await readFailover(clientOf(this.#stage.east), NAMESPACE, LINKS);
    const row = failoverRows(objects, Date.now()).find(({ service }) => service === this.#federated);
    if (row === undefined) throw new Error(`${this.#federated} is gone`);
    return row.backends;
  }

  /** The shares of its members now, 0 to 1. */
  async shares(): Promise<ReadonlyMap<string, number>> {
    return new Map((await this.members()).map(({ name, share }) => [name, share]));
  }

  /** Where kube-proxy leads clients. */
  async places(): Promise<Places> {
    const slices = await this.slices();
    const of = (name: string): readonly Place[] => {
      const found = slices.flatMap(({ endpoints, ports }) =>
        // What has none may come as null.
        (endpoints ?? [])
          .filter(({ conditions }) => conditions?.ready !== false)
          .flatMap(({ addresses }) => addresses)
          .flatMap((host) =>
            (ports ?? []).filter((one) => one.name === name).map(({ port = 0 }) => ({ host, port })),
          ),
      );
      return [...new Map(found.map((place) => [`${place.host}:${place.port}`, place])).values()];
    };
    const [host = ''] = originAddresses();
    const direct = [{ host, port: originPorts(TARGETS.indexOf('north'))[0] }];
    return { http: of('http'), http2: of('grpc'), raw: of('raw'), direct };
  }

  slices(): Promise<V1EndpointSlice[]> {
    return findSlices(this.#stage.east, NAMESPACE, this.#federated);
  }

  /** Leaves so many endpoints of a member ready. */
  async setReady(target: Target, ready: number): Promise<void> {
    const ref = { namespace: NAMESPACE, name: sliceName(this.name) };
    const endpoints = endpointsOf(originAddresses(), ready);
    await change(this.#stage.cluster(target), endpointSlices, ref, { endpoints });
  }

  async remove(): Promise<void> {
    for (const target of TARGETS) {
      const cluster = this.#stage.cluster(target);
      await remove(cluster, services, { namespace: NAMESPACE, name: this.name });
      await remove(cluster, endpointSlices, { namespace: NAMESPACE, name: sliceName(this.name) });
    }
  }

  get #federated(): string {
    return `${this.name}-federated`;
  }
}

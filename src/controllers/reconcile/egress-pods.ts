import type { V1EndpointSlice } from '@kubernetes/client-node';
import { EGRESS_ADMIN_PORT, EGRESS_GROUPS_PORT } from '../../api/names.ts';
import type { SocketAddress } from '../../base/address.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { MirrorAddress } from '../objects/mirrored-endpoints.ts';

/** What is known of the egress pods, by the slices of their Service. */
export class EgressPods {
  /** For a watch to fill. */
  readonly slices = new IndexedStore<V1EndpointSlice>();
  /** Those that are ready. */
  addresses: readonly MirrorAddress[] = [];
  /** Whether all of them serve ports that lead to several clusters. */
  servesGroups = false;
  /** Their admin ports. */
  admins: readonly SocketAddress[] = [];

  /** Calls `onChange` after each change of the slices, when all of this says what is so now. */
  follow(onChange: () => void): void {
    this.slices.subscribe('controller: egress pods', () => {
      const slices = this.slices.list();
      this.addresses = egressPods(slices);
      this.servesGroups = servesGroups(slices);
      this.admins = egressAdmins(slices);
      onChange();
    });
  }
}

/** The ready egress pods in the slices of the egress Service, in a stable order. */
function egressPods(slices: readonly V1EndpointSlice[]): MirrorAddress[] {
  const found = new Map<string, MirrorAddress>();
  for (const { addresses, conditions, nodeName, zone } of slices.flatMap((slice) => slice.endpoints ?? [])) {
    const ip = addresses[0];
    if (ip === undefined || conditions?.ready === false) continue;
    found.set(ip, {
      ip,
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(zone === undefined ? {} : { zone }),
    });
  }
  return [...found.values()].sort((a, b) => (a.ip < b.ip ? -1 : 1));
}

/** The admin ports of ready egress pods, in a stable order. */
function egressAdmins(slices: readonly V1EndpointSlice[]): SocketAddress[] {
  const ports = new Map<string, number>();
  for (const slice of slices) {
    const port = slice.ports?.find(({ name }) => name === EGRESS_ADMIN_PORT)?.port;
    if (port !== undefined) for (const { ip } of egressPods([slice])) ports.set(ip, port);
  }
  return [...ports].sort(([a], [b]) => (a < b ? -1 : 1)).map(([host, port]) => ({ host, port }));
}

/**
 * Whether all ready egress pods serve ports that lead to several clusters. They show it by a port of this
 * name in their EndpointSlices, which those of older releases do not have (ADR 0036).
 */
export function servesGroups(slices: readonly V1EndpointSlice[]): boolean {
  const serving = new Set(
    slices
      .filter(({ ports }) => ports?.some(({ name }) => name === EGRESS_GROUPS_PORT) === true)
      .flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses)),
  );
  const pods = egressPods(slices);
  return pods.length > 0 && pods.every(({ ip }) => serving.has(ip));
}

import type { V1Service } from '@kubernetes/client-node';
import type { IndexedStore } from '../kube/store.ts';
import {
  allocateEgressPorts,
  DEFAULT_EGRESS_RANGE,
  readEgressPorts,
  type EgressPorts,
  type PortRange,
} from './egress-ports.ts';

/**
 * Which mirror holds which egress port, over all Links: the mirrors' own annotations are the record, so it survives restarts and is shared by
 * replicas. Ports given out by this process count at once, before the watch shows them.
 */
export class EgressAllocator {
  readonly #holders = new Map<number, { readonly mirror: string; readonly since: string }>();
  readonly #range: PortRange;

  constructor(services: IndexedStore<V1Service>, range: PortRange = DEFAULT_EGRESS_RANGE) {
    this.#range = range;
    for (const service of services.list()) this.#record(service);
    services.subscribe((change) => {
      if (change.previous !== undefined) this.#release(change.previous);
      if (change.type === 'deleted') this.#release(change.object);
      else this.#record(change.object);
    });
  }

  /** Ports for a mirror; undefined when the range is full. `local` is the mirror as it is, if it exists. */
  allocate(
    mirror: string,
    servicePorts: readonly number[],
    local: V1Service | undefined,
  ): EgressPorts | undefined {
    const current = readEgressPorts(local?.metadata?.annotations);
    const taken = (port: number) => (this.#holders.get(port)?.mirror ?? mirror) !== mirror;
    const ports = allocateEgressPorts(mirror, servicePorts, current, taken, this.#range);
    const since = sinceOf(local);
    for (const port of Object.values(ports ?? {})) this.#holders.set(port, { mirror, since });
    return ports;
  }

  /** Two replicas may have given one port to two mirrors: the older mirror keeps it, the other gets a new one. */
  #record(service: V1Service): void {
    const mirror = keyOfService(service);
    const since = sinceOf(service);
    for (const port of Object.values(readEgressPorts(service.metadata?.annotations))) {
      const holder = this.#holders.get(port);
      if (holder === undefined || holder.mirror === mirror || since < holder.since)
        this.#holders.set(port, { mirror, since });
    }
  }

  #release(service: V1Service): void {
    const mirror = keyOfService(service);
    for (const port of Object.values(readEgressPorts(service.metadata?.annotations))) {
      if (this.#holders.get(port)?.mirror === mirror) this.#holders.delete(port);
    }
  }
}

function keyOfService(service: V1Service): string {
  return `${service.metadata?.namespace ?? ''}/${service.metadata?.name ?? ''}`;
}

/** Orders mirrors by age, then by UID; one that does not exist yet is younger than all. */
function sinceOf(service: V1Service | undefined): string {
  const created = service?.metadata?.creationTimestamp;
  if (created === undefined) return '~';
  return `${new Date(created).toISOString()} ${service?.metadata?.uid ?? ''}`;
}

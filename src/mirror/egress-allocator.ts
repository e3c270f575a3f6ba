import type { V1Service } from '@kubernetes/client-node';
import { type AnnotationName, readAnnotation } from '../base/annotations.ts';
import { readEgressPorts, type EgressPorts } from '../base/egress-ports.ts';
import { EGRESS_PORTS, FEDERATED_EGRESS_PORTS_GROUP } from '../base/names.ts';
import type { IndexedStore } from '../kube/store.ts';
import { allocateEgressPorts, DEFAULT_EGRESS_RANGE, type PortRange } from './egress-ports.ts';
import { keyOfObject } from './naming.ts';

/** Who asks for egress ports. */
export interface EgressClaim {
  /** Local Service, `namespace/name`. */
  readonly service: string;
  /** The member's cluster where the Service is a federated one. */
  readonly member?: string;
  readonly servicePorts: readonly number[];
  /** The Service as it is, if it exists. */
  readonly local: V1Service | undefined;
}

/**
 * Which mirror holds which egress port, over all Links: the Services' own annotations are the record, so it survives restarts and is shared by
 * replicas. Ports given out by this process count at once, before the watch shows them.
 */
export class EgressAllocator {
  readonly #holders = new Map<number, { readonly holder: string; readonly since: string }>();
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

  /** Ports for a claim; undefined when the range is full. */
  allocate({ service, member, servicePorts, local }: EgressClaim): EgressPorts | undefined {
    const holder = holderName(service, member);
    const current = readEgressPorts(readAnnotation(local?.metadata?.annotations, portsKey(member)));
    const taken = (port: number) => (this.#holders.get(port)?.holder ?? holder) !== holder;
    const ports = allocateEgressPorts(holder, servicePorts, current, taken, this.#range);
    const since = sinceOf(local);
    for (const port of Object.values(ports ?? {})) this.#holders.set(port, { holder, since });
    return ports;
  }

  /** Two replicas may have given one port to two mirrors: the older mirror keeps it, the other gets a new one. */
  #record(service: V1Service): void {
    const since = sinceOf(service);
    for (const { port, holder } of recordedPorts(service)) {
      const known = this.#holders.get(port);
      if (known === undefined || known.holder === holder || since < known.since)
        this.#holders.set(port, { holder, since });
    }
  }

  #release(service: V1Service): void {
    for (const { port, holder } of recordedPorts(service)) {
      if (this.#holders.get(port)?.holder === holder) this.#holders.delete(port);
    }
  }
}

function holderName(service: string, member: string | undefined): string {
  return member === undefined ? service : `${service}@${member}`;
}

/** Every egress port that a Service's annotations record: a mirror's own, or one set for each member of a federated Service. */
function recordedPorts(service: V1Service): { port: number; holder: string }[] {
  const key = keyOfObject(service);
  const { annotations } = service.metadata ?? {};
  const prefix = `${FEDERATED_EGRESS_PORTS_GROUP}/`;
  const members = Object.keys(annotations ?? {}).filter((name) => name.startsWith(prefix));
  return [undefined, ...members.map((name) => name.slice(prefix.length))].flatMap((member) =>
    Object.values(readEgressPorts(readAnnotation(annotations, portsKey(member)))).map((port) => ({
      port,
      holder: holderName(key, member),
    })),
  );
}

/** The annotation with a Service's egress ports, or with those of a federated Service's member. */
function portsKey(member: string | undefined): AnnotationName {
  return member === undefined ? EGRESS_PORTS : `${FEDERATED_EGRESS_PORTS_GROUP}/${member}`;
}

/** Orders mirrors by age, then by UID; one that does not exist yet is younger than all. */
function sinceOf(service: V1Service | undefined): string {
  const created = service?.metadata?.creationTimestamp;
  if (created === undefined) return '~';
  return `${new Date(created).toISOString()} ${service?.metadata?.uid ?? ''}`;
}

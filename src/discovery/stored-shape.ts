import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { SERVICE_NAME_LABEL } from './endpoint-slices.ts';

/** What is kept of an exported Service: name, labels, annotations, spec. Thousands of them are held for each peer. The reflector has taken off managedFields and kubectl's copy. */
export function storedService(service: V1Service): V1Service {
  const { name, namespace, uid, resourceVersion, labels, annotations, deletionTimestamp } =
    service.metadata ?? {};
  return {
    metadata: defined({
      name,
      namespace,
      uid,
      resourceVersion,
      labels,
      annotations,
      deletionTimestamp,
    }),
    ...(service.spec === undefined ? {} : { spec: service.spec }),
  };
}

/** What is kept of a slice: whose it is, ports, and of each endpoint address, conditions, host name, zone and the zones that it is for. */
export function storedSlice(slice: V1EndpointSlice): V1EndpointSlice {
  const { name, namespace, uid, resourceVersion, labels } = slice.metadata ?? {};
  const owner = labels?.[SERVICE_NAME_LABEL];
  return {
    metadata: defined({
      name,
      namespace,
      uid,
      resourceVersion,
      ...(owner === undefined ? {} : { labels: { [SERVICE_NAME_LABEL]: owner } }),
    }),
    addressType: slice.addressType,
    ...(slice.ports === undefined ? {} : { ports: slice.ports }),
    // Null where a hand-made slice has none (KEP-752: omitted and empty mean the same).
    endpoints: (slice.endpoints ?? []).map(({ addresses, conditions, hostname, zone, hints }) => {
      const forZones = hints?.forZones;
      const kept = forZones === undefined ? undefined : { forZones };
      return defined({ addresses, conditions, hostname, zone, hints: kept });
    }),
  };
}

/** The object without its undefined fields, which would take room and differ in comparisons. */
export function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { SERVICE_NAME_LABEL } from './endpoint-slices.ts';
import { MANAGED_BY_LABEL } from './slice-makers.ts';

/**
 * What is kept of an exported Service: name, labels, annotations, spec. Thousands of them are held for each
 * peer. The reflector has taken off managedFields and kubectl's copy.
 */
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

/**
 * What is kept of a slice: whose it is and who made it, ports, and of each endpoint address, conditions, host
 * name, zone and the zones that it is for.
 */
export function storedSlice(slice: V1EndpointSlice): V1EndpointSlice {
  const { name, namespace, uid, resourceVersion, labels } = slice.metadata ?? {};
  const kept = Object.fromEntries(
    [SERVICE_NAME_LABEL, MANAGED_BY_LABEL].flatMap((key) => {
      const value = labels?.[key];
      return value === undefined ? [] : [[key, value]];
    }),
  );
  return {
    metadata: defined({
      name,
      namespace,
      uid,
      resourceVersion,
      ...(Object.keys(kept).length === 0 ? {} : { labels: kept }),
    }),
    addressType: slice.addressType,
    ...(slice.ports === undefined ? {} : { ports: slice.ports }),
    // Null where a hand-made slice has none (KEP-752: omitted and empty mean the same).
    endpoints: (slice.endpoints ?? []).map(({ addresses, conditions, hostname, zone, hints }) => {
      const forZones = hints?.forZones;
      const zones = forZones === undefined ? undefined : { forZones };
      return defined({ addresses, conditions, hostname, zone, hints: zones });
    }),
  };
}

/** The object without its undefined fields, which would take room and differ in comparisons. */
export function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

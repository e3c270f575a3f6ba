import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { identityOf } from '../api/kubernetes/resource.ts';
import { SERVICE_NAME_LABEL } from './endpoint-slices.ts';
import { MANAGED_BY_LABEL } from './slice-makers.ts';

/**
 * The parts of a Service that are stored: name, labels, annotations, spec, conditions. There may be thousands
 * for each peer. The reflector has removed managedFields and kubectl's last-applied annotation.
 */
export function storedService(service: V1Service): V1Service {
  const { labels, annotations, deletionTimestamp } = service.metadata ?? {};
  return {
    metadata: { ...identityOf(service), ...defined({ labels, annotations, deletionTimestamp }) },
    ...(service.spec === undefined ? {} : { spec: service.spec }),
    ...(service.status?.conditions === undefined
      ? {}
      : { status: { conditions: service.status.conditions } }),
  };
}

/**
 * The parts of a slice that are stored: its Service, who made it, ports, and of each endpoint the addresses,
 * conditions, host name, zone and zone hints.
 */
export function storedSlice(slice: V1EndpointSlice): V1EndpointSlice {
  const { labels } = slice.metadata ?? {};
  const kept = Object.fromEntries(
    [SERVICE_NAME_LABEL, MANAGED_BY_LABEL].flatMap((key) => {
      const value = labels?.[key];
      return value === undefined ? [] : [[key, value]];
    }),
  );
  return {
    metadata: { ...identityOf(slice), ...(Object.keys(kept).length === 0 ? {} : { labels: kept }) },
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

/** The object without undefined properties, which take memory and make equal objects compare different. */
export function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

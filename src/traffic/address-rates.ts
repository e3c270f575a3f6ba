import { answersOf, type ClusterReading } from './cluster-reading.ts';

/** What egress pods send to one address of a gateway. */
export interface AddressRates {
  readonly rps: number;
  /** The part that did not fail; undefined: nothing was sent. */
  readonly success: number | undefined;
  /** Mean of the pods that measure it, milliseconds. */
  readonly rttMs: number | undefined;
}

/** By `cluster/host`: a controller probes another port of the address than the one that flows go to. */
export function addressRates(reading: ClusterReading): Map<string, AddressRates> {
  const all = answersOf(reading, 'egress').flatMap(({ window }) =>
    window.report.gateways.map((gateway) => ({ gateway, ms: window.ms })),
  );
  const byAddress = Map.groupBy(all, ({ gateway }) => addressKey(gateway.cluster, hostOf(gateway.address)));
  return new Map(
    [...byAddress].map(([key, seen]) => {
      const sum = (of: (one: (typeof seen)[number]) => number) =>
        seen.reduce((total, one) => total + of(one), 0);
      const requests = sum(({ gateway }) => gateway.requests);
      const failed = sum(({ gateway }) => gateway.failures);
      const measured = seen.flatMap(({ gateway }) => gateway.rttMs?.mean ?? []);
      const rtts = measured.reduce((total, ms) => total + ms, 0);
      return [
        key,
        {
          rps: sum(({ gateway, ms }) => gateway.requests / (ms / 1000)),
          success: requests > 0 ? Math.max(0, 1 - failed / requests) : undefined,
          rttMs: measured.length === 0 ? undefined : rtts / measured.length,
        },
      ];
    }),
  );
}

export function addressKey(cluster: string, host: string): string {
  return `${cluster}/${host}`;
}

/** `10.0.0.1` of `10.0.0.1:4143`, `2001:db8::1` of `[2001:db8::1]:4143`. */
function hostOf(address: string): string {
  const colon = address.lastIndexOf(':');
  const host = colon < 0 ? address : address.slice(0, colon);
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

import type { EffectivePolicy } from '../policy/effective-policy.ts';
import { allowedClients } from '../api/exports/export-marks.ts';
import type { V1EndpointSlice, V1Service, V1ServicePort } from '@kubernetes/client-node';
import {
  type EndpointView,
  isExternalName,
  isHeadless,
  portEndpoints,
  slicesByHost,
} from '../exports/endpoint-slices.ts';
import { servicePortProtocol } from '../api/ports/port-protocol.ts';
import type { TargetSpec } from './target-spec.ts';

/** What the targets of a Service depend on beside the Service and its slices. */
export interface TargetView extends EndpointView {
  /** Host names that remain targets although no slice has them any more. */
  readonly lastingHosts?: readonly string[] | undefined;
  /** The Service's traffic policy; default none. */
  readonly policy?: EffectivePolicy | undefined;
}

/**
 * The targets that an exported Service stands for: one for each TCP port, with the endpoints that its slices
 * give; and where it is headless, one more for each port and each host name of its pods,
 * `<host>.<svc>.<ns>.svc.<domain>`, which is what endpoint mirrors ask for (linkerd2 service-mirror
 * `createEndpointMirrorService`). The Service's port number names the port, for hosts too. Pure: the same
 * Service and slices give the same targets in the same order.
 */
export function serviceTargets(
  service: V1Service,
  slices: readonly V1EndpointSlice[],
  clusterDomain: string,
  view: TargetView = {},
): TargetSpec[] {
  const { name, namespace } = service.metadata ?? {};
  if (name === undefined || namespace === undefined || isExternalName(service)) return [];
  const fqName = `${name}.${namespace}.svc.${clusterDomain}`;
  const named = [{ name: fqName, slices }];
  for (const [host, own] of hostSlices(service, slices, view.lastingHosts ?? []))
    named.push({ name: `${host}.${fqName}`, slices: own });
  const ports = tcpPorts(service, view);
  return named.flatMap((one) =>
    ports.map(({ port, ...rules }) => ({
      name: one.name,
      port: port.port,
      endpoints: portEndpoints(service, port, one.slices, view),
      ...rules,
    })),
  );
}

/** Host names under which single pods of a Service are targets: those of a headless one. */
export function targetHosts(service: V1Service, slices: readonly V1EndpointSlice[]): string[] {
  return [...hostSlices(service, slices, []).keys()];
}

function hostSlices(
  service: V1Service,
  slices: readonly V1EndpointSlice[],
  lastingHosts: readonly string[],
): Map<string, readonly V1EndpointSlice[]> {
  if (!isHeadless(service)) return new Map();
  const hosts = new Map<string, readonly V1EndpointSlice[]>(slicesByHost(slices));
  for (const host of lastingHosts) if (!hosts.has(host)) hosts.set(host, []);
  return hosts;
}

/**
 * The TCP ports of a Service, each with the settings that hold for it under the Service's name and host
 * names.
 */
function tcpPorts(
  service: V1Service,
  { policy = {} }: Pick<TargetView, 'policy'>,
): (Pick<TargetSpec, 'protocol' | 'allow'> & EffectivePolicy & { readonly port: V1ServicePort })[] {
  const allow = allowedClients(service);
  return (service.spec?.ports ?? [])
    .filter((port) => (port.protocol ?? 'TCP') === 'TCP')
    .map((port) => {
      const protocol = servicePortProtocol(service, port.port);
      return {
        port,
        ...(protocol === undefined ? {} : { protocol }),
        ...(allow === undefined ? {} : { allow }),
        ...policy,
      };
    });
}

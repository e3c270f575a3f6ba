import type { V1Service, V1ServicePort } from '@kubernetes/client-node';

/** A port of an exported Service that is carried to the source cluster. */
export interface MirroredPort {
  /** Name as in the remote Service; empty for the only, unnamed port. */
  readonly name: string;
  readonly port: number;
  readonly targetPort: number | string | undefined;
  readonly appProtocol: string | undefined;
}

/**
 * The ports of a Service that can be mirrored: TCP only, because nothing carries UDP or SCTP through a
 * gateway.
 */
export function mirroredPorts(service: V1Service): MirroredPort[] {
  return (service.spec?.ports ?? []).filter(isTcp).map((port) => ({
    name: port.name ?? '',
    port: port.port,
    targetPort: port.targetPort,
    appProtocol: port.appProtocol,
  }));
}

/** The ports that are left out, as people write them: `53/UDP`. */
export function portsLeftOut(service: V1Service): string[] {
  return (service.spec?.ports ?? [])
    .filter((port) => !isTcp(port))
    .map((port) => `${port.port}/${port.protocol ?? ''}`);
}

function isTcp(port: V1ServicePort): boolean {
  return (port.protocol ?? 'TCP') === 'TCP';
}

/** The ports of the mirror Service. */
export function servicePorts(ports: readonly MirroredPort[]): V1ServicePort[] {
  return ports.map((port) => ({
    ...(port.name === '' ? {} : { name: port.name }),
    protocol: 'TCP',
    port: port.port,
    targetPort: port.targetPort ?? port.port,
    ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
  }));
}

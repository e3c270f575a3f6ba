import type { V1Service } from '@kubernetes/client-node';
import { type Annotations, readAnnotation } from '../annotations.ts';
import { type EgressPorts, readEgressPorts, writeEgressPorts } from '../egress/egress-ports.ts';
import { readGateway, type RecordedGateway } from '../egress/egress-record.ts';
import {
  DATA_PATH,
  EGRESS_PORTS,
  LINK_ANNOTATION,
  MIRROR_GATEWAY,
  NOT_READY,
  REMOTE_GATEWAY_IDENTITY,
  REMOTE_RESOURCE_VERSION,
  REMOTE_SERVICE_FQ_NAME,
  REMOTE_UID,
} from '../names.ts';

/** Annotations of mirrors and their endpoints: written and read here, and nowhere else. */

/** The part of an object that is read here. */
export interface Annotated {
  readonly metadata?: { readonly annotations?: Annotations } | undefined;
}

/**
 * How traffic reaches a target's gateway: directly (meshed clients), or through local egress pods (plain
 * clients).
 */
export type DataPath = 'gateway' | 'relay';

/** How the target knows what a mirror stands for, and the Link that it was made for. */
export interface MirrorOrigin {
  /** `<svc>.<ns>.svc.<targetClusterDomain>`, for an endpoint mirror with the host before it. */
  readonly fqName: string;
  /** `namespace/name`. */
  readonly link: string;
}

/** The annotations that say where a mirror comes from. @param remote the exported Service */
export function originAnnotations(
  { metadata }: V1Service,
  { fqName, link }: MirrorOrigin,
): Record<string, string> {
  return {
    [REMOTE_SERVICE_FQ_NAME]: fqName,
    [REMOTE_RESOURCE_VERSION]: metadata?.resourceVersion ?? '',
    [REMOTE_UID]: metadata?.uid ?? '',
    [LINK_ANNOTATION]: link,
  };
}

/** How traffic reaches a mirror. */
export interface MirrorPath {
  readonly dataPath: DataPath;
  /** Of a relay mirror: the egress port of each of its ports. */
  readonly egressPorts?: EgressPorts | undefined;
  /** Of a relay mirror whose export names a gateway other than the Link's. */
  readonly gateway?: RecordedGateway | undefined;
}

/** The annotations that say it. */
export function pathAnnotations({ dataPath, egressPorts, gateway }: MirrorPath): Record<string, string> {
  return {
    [DATA_PATH]: dataPath,
    ...(egressPorts === undefined ? {} : { [EGRESS_PORTS]: writeEgressPorts(egressPorts) }),
    ...(gateway === undefined ? {} : { [MIRROR_GATEWAY]: JSON.stringify(gateway) }),
  };
}

/** What slices and Endpoints say, each where it is known. */
export interface EndpointsSaid {
  /** Authority that Linkerd's destination controller sends. */
  readonly fqName: string | undefined;
  /** TLS identity that a client must demand. */
  readonly gatewayIdentity: string | undefined;
  /** Why there are no endpoints, or not all are ready. */
  readonly notReady?: string | undefined;
}

/** The annotations that say it. */
export function endpointAnnotations(said: EndpointsSaid): Record<string, string> {
  const { fqName, gatewayIdentity, notReady } = said;
  return {
    ...(fqName === undefined ? {} : { [REMOTE_SERVICE_FQ_NAME]: fqName }),
    ...(gatewayIdentity === undefined ? {} : { [REMOTE_GATEWAY_IDENTITY]: gatewayIdentity }),
    ...(notReady === undefined ? {} : { [NOT_READY]: notReady }),
  };
}

/** Annotations of a merge patch that set why endpoints are not ready, or take it away. */
export function notReadyPatch(notReady: string | undefined): Record<string, string | null> {
  return { [NOT_READY]: notReady ?? null };
}

/** The Link (`namespace/name`) that an object was made for. */
export function linkOf(object: Annotated | undefined): string | undefined {
  return readAnnotation(object?.metadata?.annotations, LINK_ANNOTATION);
}

/** The annotation of the version that a mirror was made from, alone. */
export function versionAnnotation(version: string | undefined): Record<string, string> {
  return version === undefined ? {} : { [REMOTE_RESOURCE_VERSION]: version };
}

/** Whether an annotation is that one. */
export function isVersionKey(annotation: string): boolean {
  return annotation === REMOTE_RESOURCE_VERSION;
}

/** The name by which the gateway knows the export of a mirror. */
export function fqNameOf(object: Annotated): string | undefined {
  return readAnnotation(object.metadata?.annotations, REMOTE_SERVICE_FQ_NAME);
}

/** The resourceVersion of the export that a mirror was last made from. */
export function remoteVersionOf(annotations: Annotations | undefined): string | undefined {
  return readAnnotation(annotations, REMOTE_RESOURCE_VERSION);
}

/** Whether clients reach a mirror through the egress, by its annotation. */
export function isRelayed(mirror: Annotated): boolean {
  return readAnnotation(mirror.metadata?.annotations, DATA_PATH) === 'relay';
}

/** The egress port of each port of a relay mirror; empty where none is recorded. */
export function egressPortsOf(mirror: Annotated): EgressPorts {
  return readEgressPorts(readAnnotation(mirror.metadata?.annotations, EGRESS_PORTS));
}

/**
 * The gateway that a mirror names instead of the Link's; null: one that cannot be read. Undefined: the
 * Link's.
 */
export function ownGatewayOf(mirror: Annotated | undefined): RecordedGateway | null | undefined {
  const text = readAnnotation(mirror?.metadata?.annotations, MIRROR_GATEWAY);
  if (text === undefined) return undefined;
  try {
    return readGateway(JSON.parse(text)) ?? null;
  } catch {
    return null;
  }
}

/** Why a mirror's endpoints are not there, or not ready. */
export function notReadyOf(object: Annotated): string | undefined {
  return readAnnotation(object.metadata?.annotations, NOT_READY);
}

import {
  CLUSTER_NAME_LABEL,
  HEADLESS_MIRROR_LABEL,
  MIRRORED_SERVICE_LABEL,
  REMOTE_DISCOVERY,
  REMOTE_SERVICE_LABEL,
} from '../names.ts';

/** Labels of what mirroring makes: written and read here, and nowhere else. */

/** The part of an object that is read here. */
export interface Labelled {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>> } | undefined;
}

/** Label selector of all that mirroring made, for lists and watches. */
export const MIRRORED_SELECTOR = `${MIRRORED_SERVICE_LABEL}=true`;

/** What the labels of one object say. */
export interface MirrorLabels {
  /** `Link.spec.targetClusterName`; undefined: it is of no single cluster, as a federated Service. */
  readonly cluster?: string | undefined;
  /** Of an endpoint mirror, and its endpoints: the headless mirror that it belongs to, by name. */
  readonly headless?: string | undefined;
  /** Of a flat mirror: the remote Service, of which Linkerd's destination controller asks the cluster. */
  readonly flat?: { readonly cluster: string; readonly service: string } | undefined;
}

/** The labels for these facts. */
export function mirrorLabels({ cluster, headless, flat }: MirrorLabels): Record<string, string> {
  return {
    [MIRRORED_SERVICE_LABEL]: 'true',
    ...(cluster === undefined ? {} : clusterLabel(cluster)),
    ...(headless === undefined ? {} : { [HEADLESS_MIRROR_LABEL]: headless }),
    ...(flat === undefined ? {} : { [REMOTE_DISCOVERY]: flat.cluster, [REMOTE_SERVICE_LABEL]: flat.service }),
  };
}

/** The label that names the cluster, alone: what is kept of a Namespace. */
export function clusterLabel(cluster: string): Record<string, string> {
  return { [CLUSTER_NAME_LABEL]: cluster };
}

/**
 * Whether an object is labelled as one that mirroring made. Anybody can write that: ownership asks for more.
 */
export function isMirrored(object: Labelled | undefined): boolean {
  return object?.metadata?.labels?.[MIRRORED_SERVICE_LABEL] === 'true';
}

/** The target cluster that an object was made for, as its label says. */
export function clusterOf(object: Labelled | undefined): string | undefined {
  return object?.metadata?.labels?.[CLUSTER_NAME_LABEL];
}

/** The headless mirror, by name, that an endpoint mirror belongs to. */
export function headlessMirrorNameOf(object: Labelled): string | undefined {
  return object.metadata?.labels?.[HEADLESS_MIRROR_LABEL];
}

/** Whether a mirror is a flat one, which leads to pods and not to a gateway. */
export function isFlatMirror(object: Labelled): boolean {
  return object.metadata?.labels?.[REMOTE_DISCOVERY] !== undefined;
}

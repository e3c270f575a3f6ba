/**
 * `name:port`, by which gateway, egress, metrics and logs call a port of a Service: made and read here alone.
 */
import { plainName } from '../../base/dns-name.ts';

/** The Service that a key is of, and the port as it is written there. */
export interface ServicePort {
  readonly name: string;
  /** Empty for what is no Service of Kubernetes. */
  readonly namespace: string;
  readonly port: string;
}

/** The key of a port: the name in lower case and without trailing dot, and the number. */
export function targetKey(name: string, port: number): string {
  return `${plainName(name)}:${port}`;
}

/** The parts of a key, as they are written; without a colon all of it is the name, and the port is empty. */
export function splitTargetKey(key: string): { readonly name: string; readonly port: string } {
  const colon = key.lastIndexOf(':');
  return colon < 0 ? { name: key, port: '' } : { name: key.slice(0, colon), port: key.slice(colon + 1) };
}

const SVC = '.svc';

/** The Service in `[host.]name.namespace.svc.domain:port`; undefined for what is none of Kubernetes. */
export function serviceOf(key: string): ServicePort | undefined {
  const { name: whole, port } = splitTargetKey(key);
  // Without a list of its parts: it is asked for thousands at a time.
  for (let svc = whole.indexOf(SVC, 1); svc >= 0; svc = whole.indexOf(SVC, svc + 1)) {
    const end = svc + SVC.length;
    const dot = whole.lastIndexOf('.', svc - 1);
    if (dot < 0 || (end < whole.length && whole[end] !== '.')) continue;
    const name = dot === 0 ? '' : whole.slice(whole.lastIndexOf('.', dot - 1) + 1, dot);
    return { name, namespace: whole.slice(dot + 1, svc), port };
  }
  return undefined;
}

/** The same, where what is no Service of Kubernetes goes by its whole name. */
export function backendOf(key: string): ServicePort {
  return serviceOf(key) ?? { ...splitTargetKey(key), namespace: '' };
}

/**
 * The mirror in `namespace/name[@member]:port`, as an egress calls what it serves; undefined for other keys.
 */
export function mirrorOf(key: string): ServicePort | undefined {
  const { name: whole, port } = splitTargetKey(key);
  const slash = whole.indexOf('/');
  if (slash < 0) return undefined;
  const [name = ''] = whole.slice(slash + 1).split('@', 1);
  return { name, namespace: whole.slice(0, slash), port };
}

/** `web.demo:8080` of `web.demo.svc.cluster.local:8080`, for people. */
export function shortTarget(key: string): string {
  const { name, port } = splitTargetKey(key);
  const end = name.indexOf('.svc.');
  return `${end < 0 ? name : name.slice(0, end)}:${port}`;
}

import type { TargetSpec } from '../discovery/target.ts';
import { matchesIdentity } from '../identity/peer.ts';
import { ProxyFailure } from '../proxy/failures.ts';
import type { Field } from '../proxy/field.ts';

/** What decides whether a request may pass. */
export interface Question {
  readonly own: string;
  readonly client: string;
  /** `name:port` of what is asked for. */
  readonly label: string;
  /** The target as it is now; undefined when it is not exported. */
  readonly spec: TargetSpec | undefined;
  /** Undefined for opaque connections. */
  readonly head: { readonly fields: readonly Field[] } | undefined;
}

/** Whether a request or connection may pass the gateway; undefined = yes. Pure. */
export function authorize({ own, client, label, spec, head }: Question): ProxyFailure | undefined {
  if (spec === undefined)
    return new ProxyFailure('unknown service', `${label} is not exported by this cluster`);
  if (client === own || passedBefore(own, head))
    return new ProxyFailure('gateway loop', `${label} was sent back to the gateway it came from`);
  const allowed = spec.allow === undefined || spec.allow.some((pattern) => matchesIdentity(pattern, client));
  return allowed ? undefined : new ProxyFailure('unauthorized', `${client} may not use ${label}`);
}

/**
 * Whether some `Forwarded` element (RFC 7239) says that this gateway has had the request: every element of every field, quoted or not, in any case. Linkerd looks at the first `by` of each field only, so an
 * intermediary that merges fields defeats it.
 */
function passedBefore(own: string, head: Question['head']): boolean {
  for (const { lower, value } of head?.fields ?? []) {
    if (lower !== 'forwarded') continue;
    for (const pair of value.split(/[;,]/)) {
      const match = /^\s*by\s*=\s*"?([^"]*)"?\s*$/i.exec(pair);
      if (match?.[1]?.toLowerCase() === own.toLowerCase()) return true;
    }
  }
  return false;
}

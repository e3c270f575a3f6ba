import type { LeaseChanges } from '../http/messages.ts';
import type { RequestTrace } from '../http/request-trace.ts';

/** A connection to an endpoint, for one request (`ConnectionLease`). */
export interface TracedLease {
  readonly endpoint: { readonly endpoint: string };
  /** Of its route; undefined: none. */
  readonly changes?: LeaseChanges | undefined;
}

/**
 * What is changed of a request that is recorded and passes as bytes: what its route changes, and the context
 * of its trace. Begins a try, which ends with the request.
 * @param target `name:port`
 */
export function tracedChanges(
  trace: RequestTrace,
  { endpoint, changes }: TracedLease,
  target: string,
): LeaseChanges {
  const one = trace.beginTry(endpoint.endpoint, target);
  return {
    host: changes?.host,
    path: (path) => changes?.path(path) ?? path,
    requestFields: (fields) => one.sent(changes?.requestFields(fields) ?? fields),
    responseFields: (fields) => changes?.responseFields(fields) ?? fields,
  };
}

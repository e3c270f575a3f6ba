import { PROXY_ERROR } from '../../api/linkerd/proxy-fields.ts';
import { valueOf } from '../http/fields.ts';
import type { IncomingResponse } from '../http/messages.ts';

/**
 * Parts of the `l5d-proxy-error` of proxies that have no endpoint, in lower case: of Linkerd's since 2.9, and
 * of ours.
 */
const NO_ENDPOINTS = ['fail-fast', 'failfast', 'no endpoints', 'no ready endpoints'];

/**
 * Whether a response says that a gateway had no endpoint for the request. An application could send the same
 * after it has processed the request, so only one with a safe method is sent elsewhere because of it. Pure.
 */
export function saysNoEndpoints({ status, fields }: Pick<IncomingResponse, 'status' | 'fields'>): boolean {
  if (status !== 503 && status !== 504) return false;
  const error = valueOf(fields, PROXY_ERROR)?.toLowerCase();
  return error !== undefined && NO_ENDPOINTS.some((text) => error.includes(text));
}

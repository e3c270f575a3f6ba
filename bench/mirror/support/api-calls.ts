import type { KubeClient } from '../../../src/kube/client/kube-client.ts';

/** Requests that an API server has answered, by `<verb> <resource>[/<subresource>]`. */
export type ApiCalls = ReadonlyMap<string, number>;

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE', 'DELETECOLLECTION']);
/**
 * What the controller writes. API servers write others themselves (flow control, roles, their own Leases),
 * which is not the product's doing.
 */
const WRITTEN = new Set([
  'services',
  'endpointslices',
  'endpoints',
  'namespaces',
  'secrets',
  'links',
  'links/status',
  'events',
]);

/**
 * Reads `apiserver_request_total` of an API server: the truth about what was asked of it, whoever counts
 * otherwise.
 */
export async function apiCalls(client: KubeClient): Promise<ApiCalls> {
  return parseCalls(String(await client.raw('GET', '/metrics')));
}

/** @param text a page of metrics */
export function parseCalls(text: string): ApiCalls {
  const calls = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (!line.startsWith('apiserver_request_total{')) continue;
    const label = (name: string) => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? '';
    const [resource, subresource, verb] = ['resource', 'subresource', 'verb'].map(label);
    const key = `${verb} ${resource}${subresource === '' ? '' : `/${subresource}`}`;
    const count = Number(line.slice(line.lastIndexOf(' ') + 1));
    calls.set(key, (calls.get(key) ?? 0) + count);
  }
  return calls;
}

/** Writes between two readings, by what was written; Leases do not count. */
export function writesBetween(before: ApiCalls, after: ApiCalls): Map<string, number> {
  const writes = new Map<string, number>();
  for (const [key, count] of after) {
    const [verb = '', resource = ''] = key.split(' ');
    const more = count - (before.get(key) ?? 0);
    if (more > 0 && WRITES.has(verb) && WRITTEN.has(resource)) writes.set(key, more);
  }
  return writes;
}

/** How many of them are about mirrors: neither status of Links nor Events, which are written in batches. */
export function mirrorWrites(writes: ReadonlyMap<string, number>): number {
  return total(writes, (resource) => resource !== 'links/status' && resource !== 'events');
}

export function total(
  writes: ReadonlyMap<string, number>,
  counts: (resource: string) => boolean = () => true,
): number {
  let sum = 0;
  for (const [key, count] of writes) if (counts(key.split(' ')[1] ?? '')) sum += count;
  return sum;
}

/** For the note: `1000 POST services, 2 PATCH links/status`. */
export function describeWrites(writes: ReadonlyMap<string, number>): string {
  return [...writes].map(([key, count]) => `${count} ${key}`).join(', ');
}

import type {
  BackendFilters,
  HeaderChange,
  PathChange,
  Redirect,
  RouteFilters,
} from '../../policy/routing/routing.ts';
import { type Field, makeField } from '../http/fields.ts';
import type { LeaseChanges, OutgoingRequest } from '../http/messages.ts';

/** The request as the filters of its rule change it. @param prefix as `RoutedTo.prefix` */
export function changedRequest(
  request: OutgoingRequest,
  { requestHeaders, rewrite }: RouteFilters,
  prefix: string,
): OutgoingRequest {
  if (requestHeaders === undefined && rewrite === undefined) return request;
  return {
    ...request,
    ...(rewrite?.hostname === undefined ? {} : { authority: rewrite.hostname }),
    ...(rewrite?.path === undefined ? {} : { path: changedPath(request.path, rewrite.path, prefix) }),
    fields: requestHeaders === undefined ? request.fields : changedFields(request.fields, requestHeaders),
  };
}

/**
 * What filters change where a connection is leased for a request.
 * @param backend those of its backend alone
 */
export function leaseChanges(
  { requestHeaders, responseHeaders, rewrite }: RouteFilters,
  backend: BackendFilters,
  prefix: string,
): LeaseChanges | undefined {
  const requests = [requestHeaders, backend.requestHeaders].filter((one) => one !== undefined);
  const responses = [backend.responseHeaders, responseHeaders].filter((one) => one !== undefined);
  if (requests.length + responses.length === 0 && rewrite === undefined) return undefined;
  const path = rewrite?.path;
  return {
    host: rewrite?.hostname,
    path: (from) => (path === undefined ? from : changedPath(from, path, prefix)),
    requestFields: (fields) => requests.reduce<readonly Field[]>(changedFields, fields),
    responseFields: (fields) => responses.reduce<readonly Field[]>(changedFields, fields),
  };
}

/** Fields with those of a change: what is set or removed loses all its values first. */
export function changedFields(fields: readonly Field[], { set, add, remove }: HeaderChange): Field[] {
  const gone = new Set([...remove, ...set.map(([name]) => name)]);
  const kept = fields.filter(({ lower }) => !gone.has(lower));
  for (const [name, value] of set) kept.push(makeField(name, value));
  for (const [name, value] of add) kept.push(makeField(name, value));
  return kept;
}

/** A path with its query, whose path is changed. `*` (OPTIONS) and authorities (CONNECT) are none. */
export function changedPath(path: string, change: PathChange, prefix: string): string {
  if (!path.startsWith('/')) return path;
  const mark = path.indexOf('?');
  const [plain, query] = mark < 0 ? [path, ''] : [path.slice(0, mark), path.slice(mark)];
  if (change.kind === 'full') return change.value + query;
  const rest = plain.slice(prefix.length);
  const begin = change.value.endsWith('/') ? change.value.slice(0, -1) : change.value;
  return (begin + rest || '/') + query;
}

/**
 * The `Location` of a redirect. Without scheme, host and port it is a path alone, which every client takes
 * for one at the host that it has asked (RFC 9110 section 10.2.2): the name by which a client of another
 * cluster has asked is not known behind its proxy.
 */
export function locationOf(
  redirect: Redirect,
  { path, authority }: Pick<OutgoingRequest, 'path' | 'authority'>,
  prefix: string,
): string {
  const to = redirect.path === undefined ? path : changedPath(path, redirect.path, prefix);
  const { scheme = 'http', hostname } = redirect;
  if (redirect.scheme === undefined && hostname === undefined && redirect.port === undefined)
    return atSameHost(to);
  const { name, port } = hostAndPort(authority ?? '');
  const wanted = redirect.port ?? (redirect.scheme === undefined ? port : undefined);
  const at = wanted === undefined || wanted === USUAL_PORTS[scheme] ? '' : `:${wanted}`;
  return `${scheme}://${hostname ?? name}${at}${to}`;
}

/**
 * A path that alone would name another host (RFC 3986 section 4.2), and a backslash that browsers take for a
 * slash. Whoever sends links to `/a//evil.example` would have the Service lead their readers there. Behind
 * `/.` it means the same path at the host that was asked (section 5.2.4).
 */
function atSameHost(path: string): string {
  return OTHER_HOST.test(path) ? `/.${path}` : path;
}
const OTHER_HOST = /^\/[/\\]/;

/** A redirect that names a scheme and no port means the scheme's own one. */
const USUAL_PORTS = { http: 80, https: 443 } as const;

function hostAndPort(authority: string): { readonly name: string; readonly port?: number } {
  const [, name = '', port] = /^(.*?)(?::(\d{1,5}))?$/.exec(authority) ?? [];
  return { name, ...(port === undefined ? {} : { port: Number(port) }) };
}

import { PROXY_FIELD_PREFIX } from '../../api/linkerd/proxy-fields.ts';
import { NotValid } from '../../api/routing/read-value.ts';
import type { WrittenFilter, WrittenHeaderChange, WrittenPathChange } from '../../api/routing/route-spec.ts';
import type { BackendFilters, HeaderChange, PathChange, Redirect, RouteFilters } from './routing.ts';

/**
 * Fields that say how a message is framed, where it goes or who has sent it. A route that could change them
 * could make one request two, or give a client another's name.
 */
const RESERVED: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
/** Printable characters of Latin-1, blanks and tabs: no line ends (RFC 9110 section 5.5). */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const HOST = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
/** What a path may have, and that ends neither a line nor a request target (RFC 3986). */
const PATH = /^\/[!$%&'()*+,./0-9:;=@A-Z_a-z~-]*$/;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Reads the filters of a rule; undefined where there are none. A filter that is not followed makes the whole
 * route unacceptable: to leave it out would send requests on as nobody has asked for.
 * @throws NotValid
 */
export function routeFilters(written: readonly WrittenFilter[] | null | undefined): RouteFilters | undefined {
  let filters: RouteFilters = {};
  for (const one of written ?? []) {
    const [name, change] = readFilter(one);
    if (filters[name] !== undefined) throw new NotValid(`there are several filters of type ${one.type}`);
    filters = { ...filters, ...change };
  }
  if (filters.redirect !== undefined && filters.rewrite !== undefined)
    throw new NotValid('a rule can have RequestRedirect or URLRewrite, not both');
  return Object.keys(filters).length === 0 ? undefined : filters;
}

/**
 * Reads the filters of a single backend (HTTPBackendRef.filters): headers can be changed there, and nothing
 * else.
 * @throws NotValid
 */
export function backendFilters(
  written: readonly WrittenFilter[] | null | undefined,
): BackendFilters | undefined {
  const found = routeFilters(written);
  if (found?.redirect !== undefined || found?.rewrite !== undefined)
    throw new NotValid('filters of single backends can change headers only');
  return found;
}

function readFilter(one: WrittenFilter): [keyof RouteFilters, RouteFilters] {
  switch (one.type) {
    case 'RequestHeaderModifier':
      return ['requestHeaders', { requestHeaders: headerChange(one.requestHeaderModifier) }];
    case 'ResponseHeaderModifier':
      return ['responseHeaders', { responseHeaders: headerChange(one.responseHeaderModifier) }];
    case 'RequestRedirect':
      return ['redirect', { redirect: redirectOf(one.requestRedirect ?? {}) }];
    case 'URLRewrite': {
      const { hostname, path } = one.urlRewrite ?? {};
      return ['rewrite', { rewrite: { ...hostOf(hostname), ...pathOf(path) } }];
    }
    default:
      throw new NotValid(`filters of type ${one.type} are not followed`);
  }
}

function redirectOf({
  scheme,
  hostname,
  port,
  path,
  statusCode,
}: NonNullable<WrittenFilter['requestRedirect']>): Redirect {
  const status = statusCode ?? 302;
  if (!REDIRECTS.has(status)) throw new NotValid(`${status} is no status of a redirect`);
  if (scheme && scheme !== 'http' && scheme !== 'https')
    throw new NotValid(`redirects to the scheme "${scheme}" are not followed`);
  return {
    ...(scheme === 'http' || scheme === 'https' ? { scheme } : {}),
    ...hostOf(hostname),
    ...(port ? { port } : {}),
    ...pathOf(path),
    status,
  };
}

function hostOf(hostname: string | null | undefined): { readonly hostname?: string } {
  if (!hostname) return {};
  if (!HOST.test(hostname)) throw new NotValid('the hostname of a filter is none');
  return { hostname };
}

function pathOf(written: WrittenPathChange | null | undefined): { readonly path?: PathChange } {
  if (!written) return {};
  const { type, replaceFullPath, replacePrefixMatch } = written;
  if (type === 'ReplaceFullPath') return { path: { kind: 'full', value: pathText(replaceFullPath ?? '') } };
  if (type !== 'ReplacePrefixMatch') throw new NotValid(`the change of paths "${type}" is not known`);
  return { path: { kind: 'prefix', value: pathText(replacePrefixMatch ?? '') } };
}

/** An empty one means `/`. */
function pathText(text: string): string {
  const path = text === '' ? '/' : text;
  if (!PATH.test(path)) throw new NotValid('the path of a filter is none');
  return path;
}

function headerChange(written: WrittenHeaderChange | null | undefined): HeaderChange {
  const entries = (list: WrittenHeaderChange['set']) =>
    (list ?? []).map(({ name, value }): [string, string] => {
      if (!VALUE.test(value)) throw new NotValid(`the value for the header ${name} is none`);
      return [headerName(name), value.trim()];
    });
  return {
    set: entries(written?.set),
    add: entries(written?.add),
    remove: (written?.remove ?? []).map(headerName),
  };
}

function headerName(name: string): string {
  if (!TOKEN.test(name)) throw new NotValid('the name of a header is none');
  const lower = name.toLowerCase();
  // Applications read `l5d_client_id` as they read `l5d-client-id` (CGI, WSGI).
  const plain = lower.replaceAll('_', '-');
  if (RESERVED.has(plain) || plain.startsWith(PROXY_FIELD_PREFIX))
    throw new NotValid(`the header ${lower} is not for routes to change`);
  return lower;
}

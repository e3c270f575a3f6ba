import type { Attributes } from '../../telemetry/traces/span.ts';
import type { ProxyFailure } from '../http/failures.ts';
import { type Field, isGrpc } from '../http/fields.ts';
import type { HttpVersion } from '../http/messages.ts';
import { shownPath } from '../http/shown-path.ts';

/** Longest text of an attribute: what a stranger sends must not cost more. */
const MAX_TEXT = 256;

/** A request's head, as far as its trace needs it. */
export interface TracedHead {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly authority: string | undefined;
  readonly version: HttpVersion;
  readonly fields: readonly Field[];
}

/** How a request or a try has ended. */
export interface TracedEnd {
  readonly status: number | undefined;
  /** gRPC status. */
  readonly grpc: number | undefined;
  /** Undefined: it has not failed here. */
  readonly failure: ProxyFailure | undefined;
  /** Whoever asked has left. */
  readonly left: boolean;
}

/** Methods that are named (semantic conventions, `http.request.method`). */
const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
  'QUERY',
]);
const OTHER = '_OTHER';
/** The path of a gRPC call: `/package.Service/Method`. */
const GRPC_PATH = /^\/([A-Za-z_][\w.]{0,126}\/[A-Za-z_]\w{0,126})$/;

/**
 * The name of a request's span: gRPC's full method, or the HTTP method, with the route of a ServiceProfile
 * that it follows; never a path.
 */
export function spanName(head: TracedHead | undefined, route: string): string {
  if (head === undefined) return 'HTTP';
  const rpc = rpcMethod(head);
  if (rpc !== undefined && rpc !== OTHER) return rpc;
  const method = METHODS.has(head.method) ? head.method : 'HTTP';
  if (route === '') return method;
  // Names of routes often have the method in them.
  return cut(route.startsWith(`${method} `) ? route : `${method} ${route}`);
}

/**
 * What is said of a request, whoever sends it on.
 * @param paths whether its path is told, as `shownPath`
 */
export function requestAttributes(head: TracedHead | undefined, paths: boolean): Attributes {
  if (head === undefined) return {};
  const { method, path, authority = '', version } = head;
  const rpc = rpcMethod(head);
  const shown = paths ? shownPath(path) : undefined;
  return {
    'http.request.method': METHODS.has(method) ? method : OTHER,
    'url.scheme': 'http',
    'url.path': shown && cut(shown),
    ...addressAttributes('server', authority),
    'network.protocol.name': 'http',
    'network.protocol.version': VERSIONS[version],
    ...(rpc === undefined ? {} : { 'rpc.system.name': 'grpc', 'rpc.method': rpc }),
  };
}

const VERSIONS: Readonly<Record<HttpVersion, string>> = {
  'HTTP/1.0': '1.0',
  'HTTP/1.1': '1.1',
  'HTTP/2': '2',
};

function rpcMethod({ path, fields }: TracedHead): string | undefined {
  return isGrpc(fields) ? (GRPC_PATH.exec(path)?.[1] ?? OTHER) : undefined;
}

/** Host and port of `host[:port]`. @param of `server`, or `network.peer` */
export function addressAttributes(of: 'server' | 'network.peer', text: string): Attributes {
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(cut(text)) ?? [];
  if (host === '') return {};
  return {
    [`${of}.address`]: host.startsWith('[') ? host.slice(1, -1) : host,
    [`${of}.port`]: port === undefined ? undefined : Number(port),
  };
}

/** What is said of how it ended. */
export function endAttributes(end: TracedEnd, side: 'server' | 'client', grpc: boolean): Attributes {
  const { status } = end;
  return {
    'http.response.status_code': status,
    'rpc.response.status_code': grpc && end.grpc !== undefined ? grpcName(end.grpc) : undefined,
    'error.type': errorType(end, side),
  };
}

function errorType(
  { status, grpc, failure, left }: TracedEnd,
  side: 'server' | 'client',
): string | undefined {
  if (failure !== undefined) return failure.kind;
  if (left) return 'cancelled';
  if (isErrorStatus(status, side)) return String(status);
  return isErrorCode(grpc, side) ? grpcName(grpc) : undefined;
}

/**
 * The text of a span's status where that is an error, undefined elsewhere (semantic conventions: an answer of
 * 4xx is an error of whoever asked, and so none of a server's).
 */
export function errorOf({ status, grpc, failure }: TracedEnd, side: 'server' | 'client'): string | undefined {
  const wrong = isErrorStatus(status, side) || isErrorCode(grpc, side);
  if (failure !== undefined) return wrong || status === undefined ? cut(failure.message) : undefined;
  return wrong ? '' : undefined;
}

function isErrorStatus(status: number | undefined, side: 'server' | 'client'): boolean {
  return status !== undefined && status >= (side === 'server' ? 500 : 400);
}

/** Of a server: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const SERVER_CODES: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);

function isErrorCode(grpc: number | undefined, side: 'server' | 'client'): grpc is number {
  if (grpc === undefined || grpc === 0) return false;
  return side === 'client' || SERVER_CODES.has(grpc);
}

const CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

function grpcName(code: number): string {
  return CODES[code] ?? OTHER;
}

/** A text that somebody else has chosen, no longer than it may be. */
export function cut(text: string): string {
  return text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) : text;
}

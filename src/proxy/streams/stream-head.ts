import { PROXY_ERROR } from '../../api/linkerd/proxy-fields.ts';
import { splitTargetKey } from '../../api/ports/target-key.ts';
import { type FailureKind, failures, ProxyFailure } from '../http/failures.ts';
import { About, type Field, makeField, valueOf } from '../http/fields.ts';
import type { SessionProtocol } from '../http/messages.ts';
import { statusField } from '../http2/message.ts';
import { plainHost } from '../io/transport-header.ts';

/**
 * Stream mode's own pseudo-headers (ADR 0017). No client can forge them: a name with a colon in front cannot
 * be said in HTTP/1, and unknown ones make an HTTP/2 request malformed everywhere but here. Nor do they
 * travel on: pseudo-headers are read, never copied.
 */
const TARGET = ':target';
const SESSION = ':session';
/** On connections that have agreed on it only (ADR 0031). */
const CLIENT = ':client';
/** Only on connections whose gateway has announced that it reads it (`Setting.ALTERNATIVES`, ADR 0036). */
const ALTERNATIVES = ':alternatives';

/** What a stream is for. */
export interface StreamPurpose {
  /** DNS name of the service. */
  readonly name: string;
  readonly port: number;
  /** What is spoken in the tunnel; undefined: the stream is an HTTP request itself. */
  readonly tunnel: SessionProtocol | undefined;
  /**
   * The client on whose behalf the stream is, as the peer says it; undefined where it says nothing. It is to
   * be trusted as far as the peer is.
   */
  readonly client: string | undefined;
  /** To how many other gateways the peer could send the request instead; 0 where it does not say. */
  readonly alternatives: number;
  /** The header list without our own pseudo-headers. */
  readonly fields: readonly Field[];
}

/**
 * The pseudo-header that says what a stream is for. One that is made twice in succession is the same: members
 * of a group have one field, which header compression finds by the identity of its value.
 * @param label `name:port`
 */
export function targetField(label: string): Field {
  if (lastTarget?.value !== label) lastTarget = makeField(TARGET, label);
  return lastTarget;
}

let lastTarget: Field | undefined;

/**
 * The pseudo-header that says on whose behalf a stream is.
 * @param identity of a workload, as its certificate would have it
 */
export function clientField(identity: string): Field {
  return makeField(CLIENT, identity);
}

/**
 * The pseudo-header that says to how many other gateways a request could be sent instead; more than 999 are
 * said to be 999.
 */
export function alternativesField(count: number): Field {
  return ALTERNATIVES_FIELDS[count] ?? makeField(ALTERNATIVES, String(Math.min(count, MAX_ALTERNATIVES)));
}

const MAX_ALTERNATIVES = 999;
const ALTERNATIVES_FIELDS = Array.from({ length: 16 }, (_, count) => makeField(ALTERNATIVES, String(count)));

const CONNECT = makeField(':method', 'CONNECT');
const SESSIONS: Readonly<Record<SessionProtocol, Field>> = {
  http1: makeField(SESSION, 'http1'),
  http2: makeField(SESSION, 'http2'),
  opaque: makeField(SESSION, 'opaque'),
};

/** The head of a tunnel: CONNECT as in RFC 9113 section 8.5, with our own fields for where to. */
export function tunnelHead(target: Field, session: SessionProtocol): readonly Field[] {
  return [CONNECT, target, SESSIONS[session]];
}

/**
 * What a stream is for, by its head.
 * @param fields the head as it came
 * @param namesClients whether the connection has agreed that streams say on whose behalf they are; elsewhere
 * `:client` is as malformed as any other unknown pseudo-header
 * @throws ProxyFailure `bad request`, or `protocol not served`
 */
export function readPurpose(fields: readonly Field[], namesClients = false): StreamPurpose {
  const said: SaidOfStream = {
    target: undefined,
    session: undefined,
    client: undefined,
    alternatives: undefined,
  };
  let connect = false;
  const rest: Field[] = [];
  let at = 0;
  // Pseudo-headers stand before all others; the reader of the request refuses one that does not.
  for (let field = fields[at]; field !== undefined && isPseudo(field); field = fields[++at]) {
    if (!takes(said, field, namesClients)) rest.push(field);
    if (field.about.text === ':method') connect = field.value === 'CONNECT';
  }
  addFrom(rest, fields, at);
  requireOneKind(connect, said.session);
  return {
    ...readTarget(said.target),
    tunnel: readSession(said.session),
    client: said.client,
    alternatives: readAlternatives(said.alternatives),
    fields: rest,
  };
}

/** The values of our own pseudo-headers in one head. */
interface SaidOfStream {
  target: string | undefined;
  session: string | undefined;
  client: string | undefined;
  alternatives: string | undefined;
}

/** Keeps the value of a pseudo-header that is ours. @returns false where it is not ours, or a duplicate */
function takes(said: SaidOfStream, { about, value }: Field, namesClients: boolean): boolean {
  const name = nameOf(about.text, namesClients);
  if (name === undefined || said[name] !== undefined) return false;
  said[name] = value;
  return true;
}

function nameOf(text: string, namesClients: boolean): keyof SaidOfStream | undefined {
  switch (text) {
    case TARGET:
      return 'target';
    case SESSION:
      return 'session';
    case CLIENT:
      return namesClients ? 'client' : undefined;
    case ALTERNATIVES:
      return 'alternatives';
    default:
      return undefined;
  }
}

function requireOneKind(connect: boolean, session: string | undefined): void {
  if (connect !== (session !== undefined))
    throw new ProxyFailure('bad request', 'a stream is a tunnel with CONNECT and :session, or a request');
}

/** Adds the fields from the one at `start` on. */
function addFrom(to: Field[], fields: readonly Field[], start: number): void {
  for (let at = start; at < fields.length; at++) {
    const field = fields[at];
    if (field !== undefined) to.push(field);
  }
}

function isPseudo({ about }: Field): boolean {
  return (about.bits & About.PSEUDO) !== 0;
}

function readTarget(target: string | undefined): { readonly name: string; readonly port: number } {
  const parts = splitTargetKey(target ?? '');
  const name = plainHost(parts.name);
  const port = /^\d{1,5}$/.test(parts.port) ? Number(parts.port) : 0;
  if (name === undefined || port < 1 || port > 65_535)
    throw new ProxyFailure('bad request', 'the stream does not say which service it is for');
  return { name, port };
}

function readAlternatives(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new ProxyFailure('bad request', 'the stream does not say how many alternatives it has');
}

function readSession(session: string | undefined): SessionProtocol | undefined {
  if (session === undefined || session === 'http1' || session === 'http2' || session === 'opaque')
    return session;
  throw new ProxyFailure('protocol not served', `tunnels for ${session} are not served`);
}

/** Longest text of a gateway that is logged; the gateway may be another party's. */
const MAX_WHY = 512;

/** The head that refuses a stream: the status of the failure, and why. */
export function refusalHead(failure: ProxyFailure): readonly Field[] {
  return [statusField(failure.status), makeField(PROXY_ERROR, plainText(failure.message))];
}

/**
 * The interim response that says why a stream with alternatives is about to be refused with REFUSED_STREAM. A
 * peer that does not know its meaning can ignore it (RFC 9110 section 15.2).
 */
export function refusalInterim(failure: ProxyFailure): readonly Field[] {
  return [statusField(REFUSAL_INTERIM), makeField(PROXY_ERROR, plainText(failure.message))];
}

/**
 * Why a stream with alternatives is about to be refused.
 * @returns undefined where the interim response does not say that, but is an application's
 */
export function refusalReason(status: number, fields: readonly Field[]): string | undefined {
  return status === REFUSAL_INTERIM ? valueOf(fields, PROXY_ERROR)?.slice(0, MAX_WHY) : undefined;
}

const REFUSAL_INTERIM = 103;

function plainText(message: string): string {
  return message.replace(/[^\x20-\x7e]/g, '?');
}

/** The failure that a refusal tells of. */
export function readTunnelRefusal(fields: readonly Field[]): ProxyFailure {
  const status = Number(valueOf(fields, ':status'));
  const why = valueOf(fields, PROXY_ERROR)?.slice(0, MAX_WHY) ?? `the gateway answered ${status}`;
  return new ProxyFailure(KINDS.get(status) ?? 'connection failed', why);
}

/** Among kinds that share a status, the one that a tunnel can have. */
const KINDS = new Map<number, FailureKind>([
  ...(Object.entries(failures) as [FailureKind, { status: number }][]).map(
    ([kind, { status }]) => [status, kind] as const,
  ),
  [404, 'unknown service'],
  [500, 'internal error'],
  [502, 'connection failed'],
  [503, 'load shed'],
  [504, 'failfast'],
]);

/**
 * Streams of one connection in stream mode, on either end. A client that needs more opens another connection.
 */
export const MAX_STREAMS = 250;

/**
 * A stream gets 5 MB/s over a round trip of 50 ms (ADR 0016). What all streams of a connection together may
 * hold unread is more than `MAX_STREAMS` times their windows, so that flows that nobody reads never stall the
 * others.
 */
export const STREAM_WINDOWS = {
  streamWindow: 256 * 1024,
  connectionWindow: 8 * 1024 * 1024,
  maxUnconsumed: 64 * 1024 * 1024,
} as const;

/**
 * Streams that an egress may reset before they are done: it has many clients, and any of them may go away at
 * any time.
 */
export const STREAM_RESETS = { burst: 10_000, perSecond: 1000 } as const;

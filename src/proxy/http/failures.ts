import { type Field, makeField } from './fields.ts';

/**
 * Everything that can go wrong between a client and a target, as one table (wire protocol 1.6): the HTTP and
 * the gRPC status of the answer, and the name under which it is counted. Raw clients are disconnected.
 * `close`: with a status of 500 or more, a mesh proxy is asked to end its application's connection
 * (`l5d-proxy-connection: close`), so that the next one may find another replica. The connection on which the
 * request came is kept wherever the end of the request is known.
 */
export const failures = {
  'bad request': { status: 400, grpc: 13, close: true },
  unauthorized: { status: 403, grpc: 7, close: false },
  'rate limited': { status: 429, grpc: 8, close: false },
  'unknown service': { status: 404, grpc: 5, close: false },
  'bad target response': { status: 502, grpc: 14, close: true },
  'connection failed': { status: 502, grpc: 14, close: true },
  'protocol not served': { status: 505, grpc: 12, close: true },
  'load shed': { status: 503, grpc: 14, close: true },
  failfast: { status: 504, grpc: 4, close: true },
  'connect timeout': { status: 504, grpc: 4, close: true },
  'request timeout': { status: 504, grpc: 4, close: false },
  'response timeout': { status: 504, grpc: 4, close: false },
  'idle timeout': { status: 504, grpc: 4, close: false },
  /** No rule of the Service's routes is for the request (Gateway API; gRPC UNIMPLEMENTED). */
  'no route': { status: 404, grpc: 12, close: false },
  /** The route leads to a backend that is not there, or that it may not refer to (Gateway API). */
  'invalid route': { status: 500, grpc: 14, close: false },
  /** A backend that cannot be used, and whose part no other gets. */
  'backend unavailable': { status: 503, grpc: 14, close: false },
  'gateway loop': { status: 508, grpc: 10, close: true },
  /** An exception that nobody foresaw (`failure-boundary.ts`). */
  'internal error': { status: 500, grpc: 13, close: true },
  /** An injected fault; its rule may say another status (`FailureTerms`). */
  'injected fault': { status: 503, grpc: 14, close: false },
} as const satisfies Record<string, { status: number; grpc: number; close: boolean }>;

/** A row of the table; also the name in metrics and in the status line of HTTP/1. */
export type FailureKind = keyof typeof failures;

/** How one failure differs from what the table says of its kind. */
export interface FailureTerms {
  readonly status?: number;
  /** gRPC status code. */
  readonly grpc?: number;
  /** Fields of the answer, by lower-case name. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Nothing is answered: the connection, or with HTTP/2 the stream, is reset. */
  readonly breaks?: boolean;
  /**
   * The HTTP/2 error code with which a client's stream is reset; default INTERNAL_ERROR. A gRPC client gets a
   * reset with it instead of an answer, because its library takes a CANCEL at its deadline for the deadline.
   */
  readonly code?: number;
  /**
   * The connection to the endpoint was lost while it had the request: whether it has processed it is not
   * known.
   */
  readonly lost?: boolean;
  /** No endpoint could be connected to. */
  readonly unreached?: boolean;
}

/** Longest message: it may quote what a stranger has sent, and goes into an answer and into logs. */
const MAX_MESSAGE = 512;
const NO_TERMS: FailureTerms = {};

/**
 * Why a request or connection could not be carried; the message is one line for people, cut at 512
 * characters.
 */
export class ProxyFailure extends Error {
  override readonly name = 'ProxyFailure';
  readonly kind: FailureKind;
  readonly #terms: FailureTerms;

  constructor(kind: FailureKind, message: string, cause?: unknown, terms: FailureTerms = NO_TERMS) {
    const text = message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}...` : message;
    super(text, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.#terms = terms;
  }

  /** HTTP status code. */
  get status(): number {
    return this.#terms.status ?? failures[this.kind].status;
  }

  /** gRPC status code. */
  get grpc(): number {
    return this.#terms.grpc ?? failures[this.kind].grpc;
  }

  /** Fields of the answer beside those that every answer has, by lower-case name. */
  get fields(): readonly (readonly [name: string, value: string])[] {
    return Object.entries(this.#terms.fields ?? {});
  }

  /**
   * Whether it is an exception that nobody foresaw: nothing is known any more of the state of its connection,
   * which is not used again.
   */
  get isOurs(): boolean {
    return this.kind === 'internal error';
  }

  /** Whether a mesh proxy is asked to end its application's connection (`l5d-proxy-connection: close`). */
  get closesProxyConnection(): boolean {
    return failures[this.kind].close && this.status >= 500;
  }

  /** Whether nothing is answered: the connection, or with HTTP/2 the stream, is reset. */
  get breaks(): boolean {
    return this.#terms.breaks === true;
  }

  /** Whether the connection to the endpoint was lost while it had the request. */
  get lost(): boolean {
    return this.#terms.lost === true;
  }

  /**
   * Whether the connection failed, and not the endpoint: none could be connected to, or the connection was
   * lost.
   */
  get isOfWay(): boolean {
    return this.#terms.lost === true || this.#terms.unreached === true;
  }

  /** HTTP/2 error code for the client's stream; undefined: the failure has none of its own. */
  get code(): number | undefined {
    return this.#terms.code;
  }
}

/** The header fields that a failure has of its own, for a response of HTTP/2. */
export function failureFields(failure: ProxyFailure): Field[] {
  return failure.fields.map(([name, value]) => makeField(name, value));
}

/**
 * Everything that can go wrong between a client and a target, as one table (wire protocol 1.6): what an HTTP
 * and a gRPC client are told, and the word under which it is counted. Raw clients are disconnected. `close`:
 * a mesh proxy is asked to end its application's connection, so that the next one may find another replica;
 * the connection that the request came on is kept wherever it is known where the request ends.
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
  'gateway loop': { status: 508, grpc: 10, close: true },
  /** A mistake of ours (`failure-boundary.ts`). */
  'internal error': { status: 500, grpc: 13, close: true },
  /** An injected fault; what is answered is up to its rule. */
  'injected fault': { status: 503, grpc: 14, close: false },
} as const satisfies Record<string, { status: number; grpc: number; close: boolean }>;

export type FailureKind = keyof typeof failures;

/** What is said beside, or instead of, what the kind of a failure says. */
export interface FailureTerms {
  readonly status?: number;
  /** gRPC status code. */
  readonly grpc?: number;
  /** Fields of the answer, by lower-case name. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Nothing is answered: the connection, or with HTTP/2 the stream, is broken. */
  readonly breaks?: boolean;
  /**
   * HTTP/2: the error code with which a client's stream is broken, default INTERNAL_ERROR. A gRPC client is
   * told by it alone, also where nothing has been answered: to it a CANCEL at its deadline is the deadline.
   */
  readonly code?: number;
}

/** A message may quote what a stranger has sent; it goes into an answer and into logs. */
const MAX_MESSAGE = 512;
const NO_TERMS: FailureTerms = {};

/** Why a request or connection could not be carried; the message is one line for people. */
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

  /** It is a mistake of ours: nothing is known of the connection either. */
  get isOurs(): boolean {
    return this.kind === 'internal error';
  }

  /** A mesh proxy is asked to end its application's connection. */
  get leaves(): boolean {
    return failures[this.kind].close && this.status >= 500;
  }

  /** Nothing is answered: the connection, or with HTTP/2 the stream, is broken. */
  get breaks(): boolean {
    return this.#terms.breaks === true;
  }

  /** HTTP/2 error code that is passed on; undefined where it is none of the client's business. */
  get code(): number | undefined {
    return this.#terms.code;
  }
}

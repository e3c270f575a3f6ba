/**
 * Everything that can go wrong between a client and a target, as one table (linkerd-wire-protocol 1.6): what an HTTP and a gRPC client are told, and the word under which it is
 * counted. Raw clients are disconnected.
 */
export const failures = {
  'bad request': { status: 400, grpc: 13, close: true },
  unauthorized: { status: 403, grpc: 7, close: false },
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
} as const satisfies Record<string, { status: number; grpc: number; close: boolean }>;

export type FailureKind = keyof typeof failures;

/** Why a request or connection could not be carried; the message is one line for people. */
export class ProxyFailure extends Error {
  override readonly name = 'ProxyFailure';
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }

  get status(): number {
    return failures[this.kind].status;
  }

  /** gRPC status code. */
  get grpc(): number {
    return failures[this.kind].grpc;
  }
}

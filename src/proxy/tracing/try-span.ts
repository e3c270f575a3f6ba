import { isGrpc, type Field, valueOf } from '../http/fields.ts';
import { ProxyFailure } from '../http/failures.ts';
import type { TryTrace } from '../http/request-trace.ts';
import { continuedFields, type NextContext } from './continued-fields.ts';
import type { TracedEnd } from './span-attributes.ts';

/** One time that a request is sent. It ends once, with the first that is said of its end. */
export class TrySpan implements TryTrace {
  /** The parent of whatever the endpoint makes of the request. */
  readonly spanId: string;
  /** Monotonic milliseconds. */
  readonly startedAt: number;
  /** Called once; undefined: it is not recorded, or has ended. */
  onEnd: ((end: TracedEnd) => void) | undefined;
  readonly #trace: Omit<NextContext, 'spanId'>;
  #status: number | undefined;
  #grpc: number | undefined;

  constructor(trace: Omit<NextContext, 'spanId'>, spanId: string, startedAt: number) {
    this.#trace = trace;
    this.spanId = spanId;
    this.startedAt = startedAt;
  }

  sent(fields: readonly Field[]): readonly Field[] {
    const { traceId, parent } = this.#trace;
    return continuedFields(fields, { traceId, parent, spanId: this.spanId });
  }

  answered(status: number, fields: readonly Field[]): void {
    this.#status = status;
    if (isGrpc(fields)) this.#grpc = grpcStatus(fields) ?? this.#grpc;
  }

  complete(trailers: readonly Field[] | undefined): void {
    if (trailers !== undefined) this.#grpc = grpcStatus(trailers) ?? this.#grpc;
    this.end({ status: this.#status, grpc: this.#grpc, failure: undefined, left: false });
  }

  failed(failure: ProxyFailure): void {
    this.end({ status: this.#status, grpc: this.#grpc, failure, left: false });
  }

  abandoned(late: boolean): void {
    const failure = late ? new ProxyFailure('response timeout', TOO_LATE) : undefined;
    this.end({ status: this.#status, grpc: this.#grpc, failure, left: !late });
  }

  /** The request is over, and nobody has said that this try is. @param end of the request */
  endWith(end: TracedEnd): void {
    const { failure, status } = end;
    if (this.#status !== undefined) return this.complete(undefined);
    // An answer of ours is none of the endpoint's.
    this.end(failure !== undefined && failure.status === status ? { ...end, status: undefined } : end);
  }

  /** It is over; what is said later is not heard. */
  end(end: TracedEnd): void {
    const { onEnd } = this;
    this.onEnd = undefined;
    onEnd?.(end);
  }
}

const TOO_LATE = 'the endpoint has taken too long, and was given up';

function grpcStatus(fields: readonly Field[]): number | undefined {
  const text = valueOf(fields, 'grpc-status');
  return text !== undefined && /^\d{1,2}$/.test(text) ? Number(text) : undefined;
}

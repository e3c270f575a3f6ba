import { type Attributes, type Span, SpanKind } from '../../telemetry/traces/span.ts';
import type { Hold } from '../filters/request-filter.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { RequestTrace } from '../http/request-trace.ts';
import {
  addressAttributes,
  endAttributes,
  errorOf,
  requestAttributes,
  spanName,
  type TracedEnd,
  type TracedHead,
} from './span-attributes.ts';
import { type TraceContext, traceIdOf } from './trace-context.ts';
import { TrySpan } from './try-span.ts';

/** What a trace asks of a request at its end. */
export interface TracedFlow {
  /** Its head; undefined: it was malformed, or is none of HTTP. Worked out when it is asked for. */
  readonly asked?: TracedHead | undefined;
  /** Its fields, where one of them is of a trace's context. */
  readonly context?: readonly Field[] | undefined;
  /** When it came (monotonic milliseconds). */
  readonly startedAt: number;
  readonly status?: number | undefined;
  readonly grpcStatus?: number | undefined;
  readonly hold: Hold | undefined;
}

/** How a request has ended, beside its status. */
export interface TracedEnding {
  /** Undefined: it has not failed here. */
  readonly failure: ProxyFailure | undefined;
  /** How often it was sent, where retries apply; undefined: as often as was heard of. */
  readonly attempts: number | undefined;
}

/** Makes the spans of a process (`Tracer`). */
export interface SpanMaker {
  /** Where a target lies, by its label, as far as that is known. */
  placesOf(target: string): Attributes;
  /** Whether paths are told. */
  readonly paths: boolean;
  /** Monotonic milliseconds. */
  readonly now: number;
  id(bytes: 8 | 16): string;
  /** Takes one span of those that may still be made. */
  take(): boolean;
  record(span: Span): void;
}

/** What is known of a request when it comes. */
export interface FlowTraceFacts {
  readonly parent: TraceContext | undefined;
  readonly head: TracedHead | undefined;
  readonly attributes: Attributes;
  /** Monotonic milliseconds. */
  readonly startedAt: number;
  /** What makes monotonic milliseconds those since the epoch. */
  readonly wallOffset: number;
}

/** Longest `tracestate` that a span tells (W3C Trace Context, section 3.3.1.5). */
const MAX_STATE = 512;

/** One request that is recorded: the span of this hop, and those of its tries. */
export class FlowTrace implements RequestTrace {
  /** 32 hexadecimal digits in lower case. */
  readonly traceId: string;
  readonly spanId: string;
  readonly #maker: SpanMaker;
  readonly #facts: FlowTraceFacts;
  #route = '';
  #tries = 0;
  /** The last try that was begun. */
  #current: TrySpan | undefined;

  constructor(maker: SpanMaker, facts: FlowTraceFacts) {
    this.#maker = maker;
    this.#facts = facts;
    this.traceId = (facts.parent && traceIdOf(facts.parent)) ?? maker.id(16);
    this.spanId = maker.id(8);
  }

  get parent(): TraceContext | undefined {
    return this.#facts.parent;
  }

  follows(route: string): void {
    this.#route = route;
  }

  beginTry(endpoint: string, target: string, startedAt = this.#maker.now): TrySpan {
    const nth = this.#tries++;
    // Where there is none left, what is next is a child of this hop.
    const recorded = this.#maker.take();
    const one = new TrySpan(this, recorded ? this.#maker.id(8) : this.spanId, startedAt);
    if (recorded) {
      one.onEnd = (end) => this.#recordTry(one, end, { endpoint, target, nth });
      this.#current = one;
    }
    return one;
  }

  /** The last try, which passed as bytes, has failed, and another follows. */
  failTry(failure: ProxyFailure): void {
    this.#current?.failed(failure);
  }

  /** The request has ended. To be called once. */
  end(flow: TracedFlow, { failure, attempts = this.#tries }: TracedEnding): void {
    const { status, grpcStatus: grpc, hold } = flow;
    const { head, parent, attributes, startedAt } = this.#facts;
    const end: TracedEnd = { status, grpc, failure, left: failure === undefined && status === undefined };
    // Of a try that passed as bytes nobody else says that it is over.
    this.#current?.endWith(end);
    this.#record({
      spanId: this.spanId,
      parentId: parent?.parentId,
      remote: parent?.parentId !== undefined,
      traceState: traceState(parent, head),
      name: spanName(head, this.#route),
      kind: SpanKind.SERVER,
      startedAt,
      attributes: {
        ...requestAttributes(head, this.#maker.paths),
        ...attributes,
        'linkspan.tries': attempts,
        'linkspan.fault': hold?.mark,
        'linkspan.policy': policyOf(failure),
        ...endAttributes(end, 'server', grpc !== undefined),
      },
      error: errorOf(end, 'server'),
    });
  }

  #recordTry(
    one: TrySpan,
    end: TracedEnd,
    { endpoint, target, nth }: { readonly endpoint: string; readonly target: string; readonly nth: number },
  ): void {
    const { head } = this.#facts;
    this.#record({
      spanId: one.spanId,
      parentId: this.spanId,
      remote: false,
      traceState: traceState(this.parent, head),
      name: spanName(head, this.#route),
      kind: SpanKind.CLIENT,
      startedAt: one.startedAt,
      attributes: {
        ...requestAttributes(head, this.#maker.paths),
        ...addressAttributes('network.peer', endpoint),
        'linkspan.target': target,
        ...this.#maker.placesOf(target),
        'http.request.resend_count': nth === 0 ? undefined : nth,
        ...endAttributes(end, 'client', end.grpc !== undefined),
      },
      error: errorOf(end, 'client'),
    });
  }

  #record({ startedAt, ...span }: Omit<Span, 'traceId' | 'startMs' | 'endMs'> & { startedAt: number }): void {
    const { wallOffset } = this.#facts;
    this.#maker.record({
      ...span,
      traceId: this.traceId,
      startMs: startedAt + wallOffset,
      endMs: this.#maker.now + wallOffset,
    });
  }
}

function traceState(parent: TraceContext | undefined, head: TracedHead | undefined): string {
  if (parent?.form !== 'traceparent' || head === undefined) return '';
  const found = head.fields.filter(({ lower }: Field) => lower === 'tracestate');
  const text = found.map(({ value }) => value).join(',');
  return text.length > MAX_STATE ? '' : text;
}

/** What of the policies has refused it. */
function policyOf(failure: ProxyFailure | undefined): string | undefined {
  return failure?.kind === 'unauthorized' || failure?.kind === 'rate limited' ? failure.kind : undefined;
}

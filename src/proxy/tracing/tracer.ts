import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { reportContained } from '../../base/isolation.ts';
import { mirrorOf } from '../../api/ports/target-key.ts';
import { type Attributes, encodeSpan, type Span } from '../../telemetry/traces/span.ts';
import type { SourceOfFlows } from '../metrics/pair-counters.ts';
import { FlowTrace, type SpanMaker, type TracedEnding, type TracedFlow } from './flow-trace.ts';
import { readContext } from './read-context.ts';
import { cut } from './span-attributes.ts';
import { isSampled, TraceBudget } from './trace-budget.ts';
import { type TraceContext, traceIdOf } from './trace-context.ts';

/** Where spans go (`SpanExporter`). */
export interface SpanSink {
  add(span: Buffer): void;
  /** There were too many spans to make this one. */
  capped(): void;
}

/** Where a target lies that is of another cluster. */
export interface TracedPlace {
  readonly cluster: string;
  /** Name of the Link that leads there; undefined: it is not known. */
  readonly link: string | undefined;
}

/** What is recorded, and where it goes. */
export interface TracerOptions {
  readonly sink: SpanSink;
  readonly clock: Clock;
  readonly random: Random;
  /** Part, 0 to 1, of the requests that nobody has decided about before. */
  readonly share: number;
  /** Whether paths are told, without their query. */
  readonly paths: boolean;
  /** Name of the cluster of this process; undefined: it was not told. */
  readonly cluster: string | undefined;
  /** Where a target lies, by its label; absent: in the cluster of this process, as at a gateway. */
  readonly placeOf?: ((label: string) => TracedPlace | undefined) | undefined;
  /** Most spans in a second; default `MAX_SPANS_PER_SECOND`. */
  readonly perSecond?: number;
}

/** What a trace says of the session that a request belongs to. */
export interface TracedSession {
  readonly target: { readonly label: string };
  readonly client: { readonly remoteAddress: string };
  readonly clientName: string;
  readonly rules: { readonly client?: { readonly value: string } | undefined };
  /** The cluster that its client says it is in, where it is of another one. */
  readonly from?: SourceOfFlows | undefined;
}

/** What is read of a request that has come. */
type BegunFlow = Pick<TracedFlow, 'asked' | 'context' | 'startedAt'>;

const WHAT = 'trace of a request';
/** How far the wall clock may go its own way before what is told follows it, milliseconds. */
const MAX_DRIFT_MS = 2;

/**
 * Records requests as spans; one for each process. A request that is not recorded costs a look at one bit,
 * and where it has a context, reading that.
 */
export class Tracer implements SpanMaker {
  readonly paths: boolean;
  readonly #options: TracerOptions;
  readonly #budget: TraceBudget;
  /** What is to be added to the monotonic clock. */
  #offset: number;

  constructor(options: TracerOptions) {
    const { clock, perSecond } = options;
    this.#options = options;
    this.paths = options.paths;
    this.#budget = new TraceBudget(clock, perSecond);
    this.#offset = clock.now() - clock.monotonic();
  }

  /** A request has come. @returns undefined: it is not recorded, and passes as it came */
  begin(session: TracedSession, flow: BegunFlow): FlowTrace | undefined {
    const { share, random } = this.#options;
    if (share === 0 && flow.context === undefined) return undefined;
    try {
      const parent = contextOf(flow);
      if (!isSampled(parent, share, random) || !this.take()) return undefined;
      return this.#trace(session, flow, parent);
    } catch (error) {
      reportContained(error, WHAT);
      return undefined;
    }
  }

  /**
   * A request has ended. What has failed here is recorded although nobody has asked for it, where there are
   * not too many. Never throws: a request must not end for what is told of it.
   * @returns undefined: it is not recorded
   */
  end(
    session: TracedSession,
    flow: TracedFlow & { readonly trace?: FlowTrace | undefined },
    end: TracedEnding,
  ): FlowTrace | undefined {
    if (flow.trace === undefined && (end.failure === undefined || !this.take())) return undefined;
    try {
      const trace = flow.trace ?? this.#trace(session, flow, contextOf(flow));
      trace.end(flow, end);
      return trace;
    } catch (error) {
      reportContained(error, WHAT);
      return undefined;
    }
  }

  /** Takes one span of those that may still be made. */
  take(): boolean {
    if (this.#budget.take()) return true;
    this.#options.sink.capped();
    return false;
  }

  placesOf(target: string): Attributes {
    const { placeOf, cluster } = this.#options;
    if (placeOf === undefined) return { 'linkspan.cluster.target': cluster };
    const place = placeOf(target);
    return { 'linkspan.cluster.target': place?.cluster, 'linkspan.link': place?.link };
  }

  record(span: Span): void {
    this.#options.sink.add(encodeSpan(span));
  }

  get now(): number {
    return this.#options.clock.monotonic();
  }

  /** A random id. @param bytes 16 for a trace, 8 for a span */
  id(bytes: 8 | 16): string {
    let id = '';
    while (id.length < 2 * bytes) {
      const part = Math.floor(this.#options.random() * 2 ** 32);
      id += part.toString(16).padStart(8, '0');
    }
    // Zeros are no id.
    return /^0+$/.test(id) ? id.replace(/0$/, '1') : id;
  }

  #trace(
    session: TracedSession,
    { asked: head, startedAt }: BegunFlow,
    parent: TraceContext | undefined,
  ): FlowTrace {
    const { target, client, clientName, rules, from } = session;
    // At an egress clients are called by their address, and may be known by their pod.
    const named = clientName === client.remoteAddress ? undefined : clientName;
    const { label } = target;
    const mirror = mirrorOf(label);
    const attributes = {
      'network.peer.address': client.remoteAddress,
      'linkspan.target': cut(label),
      'linkspan.mirror': mirror === undefined ? undefined : cut(`${mirror.namespace}/${mirror.name}`),
      'linkspan.cluster.source': this.#options.placeOf === undefined ? claimed(from) : this.#options.cluster,
      ...this.placesOf(label),
      'linkspan.client.identity': rules.client?.value ?? named,
    };
    return new FlowTrace(this, { parent, head, attributes, startedAt, wallOffset: this.#wallOffset() });
  }

  /** The same for all spans of a request, so that what is told of them can be compared. */
  #wallOffset(): number {
    const { clock } = this.#options;
    const offset = clock.now() - clock.monotonic();
    if (Math.abs(offset - this.#offset) > MAX_DRIFT_MS) this.#offset = offset;
    return this.#offset;
  }
}

/** What somebody else says, with a question mark where nothing else does. */
function claimed(from: SourceOfFlows | undefined): string | undefined {
  return from === undefined ? undefined : cut(`${from.cluster}${from.proven ? '' : '?'}`);
}

/** The context of a request that has one. */
function contextOf({ context }: Pick<TracedFlow, 'context'>): TraceContext | undefined {
  return context === undefined ? undefined : readContext(context);
}

/** The trace that a request says it is a part of, as `traceIdOf`. */
export function saidTraceId(flow: Pick<TracedFlow, 'context'>): string | undefined {
  const context = contextOf(flow);
  return context && traceIdOf(context);
}

/**
 * Where flows are counted, HTTP/1, HTTP/2 and raw bytes alike: when one begins, when its answer begins, and
 * once when it ends.
 */
import { isFailedAnswer } from '../http/classify.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { Upstream } from '../http/messages.ts';
import type { ProxyCounters } from '../metrics/counters.ts';
import type { LatencyExample } from '../metrics/exemplars.ts';
import type { PairCounters, SourceOfFlows } from '../metrics/pair-counters.ts';
import type { TargetCounters } from '../metrics/target-counters.ts';
import type { FlowTrace, TracedFlow } from '../tracing/flow-trace.ts';
import type { TracedSession, Tracer } from '../tracing/tracer.ts';
import { type LoggedFlow, type LoggedSession, type LoggedUpstream, recordAccess } from './access-log.ts';

/** What is counted of the session that a flow belongs to. */
export interface CountedSession extends LoggedSession, TracedSession {
  readonly tracer?: Tracer | undefined;
  readonly counters: ProxyCounters;
  readonly from?: SourceOfFlows | undefined;
  kept?: KeptCounters | undefined;
}

/** Where the flows of one session are counted, looked up once for all of them. */
export interface KeptCounters {
  target: TargetCounters;
  pair: PairCounters;
}

/** A request, or a raw connection, from its beginning to its end. */
export interface CountedFlow extends LoggedFlow, TracedFlow {
  /** Undefined: it is not recorded. */
  trace?: FlowTrace | undefined;
  /** Where it is counted while it is under way; undefined before and after. */
  counted: TargetCounters | undefined;
  firstByteMs?: number | undefined;
  /** How long it took until it was sent to an endpoint; undefined: it was sent at once, or not at all. */
  waitedMs?: number | undefined;
}

/** A flow has begun: it is under way until `endFlow` or `discardFlow`. */
export function beginFlow(session: CountedSession, flow: CountedFlow): void {
  const { target, pair } = keptOf(session);
  target.begin();
  flow.counted = target;
  pair.begin(flow.startedAt, flow.protocol);
}

/** Those that were forgotten had nothing in flight. */
function keptOf(session: CountedSession): KeptCounters {
  const { kept } = session;
  if (kept !== undefined && !kept.target.forgotten && !kept.pair.forgotten) return kept;
  const { counters, clientName, from, target } = session;
  const { label } = target;
  const pair = counters.pair(clientName, label, from);
  return (session.kept = { target: counters.target(label), pair });
}

/** It is sent to an endpoint, which could not be done at once. */
export function flowWaited({ clock }: CountedSession, flow: CountedFlow): void {
  flow.waitedMs ??= clock.monotonic() - flow.startedAt;
}

/**
 * The head of its final response has come.
 * @param ms since its request came, milliseconds
 * @param upstream where it was sent; undefined: that waits for nothing more once it is there
 */
export function flowAnswered(flow: CountedFlow, ms: number, upstream?: Pick<Upstream, 'waitedMs'>): void {
  const more = upstream?.waitedMs;
  if (more !== undefined) flow.waitedMs = (flow.waitedMs ?? 0) + more;
  flow.counted?.answered(ms, flow.waitedMs);
  flow.firstByteMs = ms;
}

/**
 * A flow has ended: it is counted and entered into the access log. To be called once.
 * @param upstream undefined: nothing was picked
 * @param failure why the proxy itself has answered or ended it
 */
export function endFlow(
  session: CountedSession,
  flow: CountedFlow,
  upstream: LoggedUpstream | undefined,
  failure?: ProxyFailure,
): void {
  const { tracer } = session;
  if (failure !== undefined) countFailure(session, flow, failure);
  // What has failed is recorded now, so that its line and its exemplar can say in which trace.
  if (tracer !== undefined && flow.protocol !== 'opaque')
    flow.trace = tracer.end(session, flow, { failure, attempts: upstream?.attempts });
  if (flow.counted !== undefined) countEnd(session, flow, flow.counted);
  recordAccess(session, flow, upstream, failure);
}

function countEnd(session: CountedSession, flow: CountedFlow, counted: TargetCounters): void {
  const pair = session.kept?.pair;
  const { status } = flow;
  if (status !== undefined) {
    const ms = flow.firstByteMs ?? session.clock.monotonic() - flow.startedAt;
    if (flow.firstByteMs === undefined) counted.answered(ms);
    counted.response(status, ms, flow.grpcStatus);
    const failed = isFailedAnswer(status, flow.grpcStatus);
    if (pair !== undefined && failed) pair.failures++;
    if (flow.trace !== undefined) giveExample(session, flow.trace, { ms, status, failed });
  }
  pair?.carried(flow.bytesIn, flow.bytesOut);
  discardFlow(session, flow);
}

function giveExample(
  { counters, target, clock }: CountedSession,
  { traceId, spanId }: FlowTrace,
  answer: Pick<LatencyExample, 'ms' | 'status' | 'failed'>,
): void {
  counters.example(target.label, { ...answer, traceId, spanId, at: clock.now() });
}

function countFailure(session: CountedSession, { protocol }: CountedFlow, { kind }: ProxyFailure): void {
  session.counters.failure(kind, session.target.label, protocol === 'opaque' ? 'tcp' : 'http');
  keptOf(session).pair.error(kind);
}

/** A flow has ended, and nothing more is known of it. */
export function discardFlow({ kept }: CountedSession, flow: CountedFlow): void {
  if (flow.counted === undefined) return;
  flow.counted.end();
  flow.counted = undefined;
  kept?.pair.end();
}

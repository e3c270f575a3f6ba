/**
 * Where flows are counted, HTTP/1, HTTP/2 and raw bytes alike: when one begins, when its answer begins, and
 * once when it ends.
 */
import { isFailedAnswer } from '../http/classify.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { ProxyCounters } from '../metrics/counters.ts';
import type { PairCounters } from '../metrics/pair-counters.ts';
import type { TargetCounters } from '../metrics/target-counters.ts';
import type { FlowTrace, TracedFlow } from '../tracing/flow-trace.ts';
import type { TracedSession, Tracer } from '../tracing/tracer.ts';
import { type LoggedFlow, type LoggedSession, type LoggedUpstream, recordAccess } from './access-log.ts';

/** What is counted of the session that a flow belongs to. */
export interface CountedSession extends LoggedSession, TracedSession {
  readonly tracer?: Tracer | undefined;
  readonly counters: ProxyCounters;
  pair?: PairCounters | undefined;
}

/** A request, or a raw connection, from its beginning to its end. */
export interface CountedFlow extends LoggedFlow, TracedFlow {
  /** Undefined: it is not recorded. */
  readonly trace?: FlowTrace | undefined;
  /** Where it is counted while it is under way; undefined before and after. */
  counted: TargetCounters | undefined;
  firstByteMs?: number | undefined;
}

/** A flow has begun: it is under way until `endFlow` or `discardFlow`. */
export function beginFlow(session: CountedSession, flow: CountedFlow): void {
  flow.counted = session.counters.begin(session.target.label);
  pairOf(session).begin(flow.startedAt);
}

/** It is looked up once for each session. One that was forgotten had nothing in flight. */
function pairOf(session: CountedSession): PairCounters {
  const { pair } = session;
  if (pair !== undefined && !pair.forgotten) return pair;
  return (session.pair = session.counters.pair(session.clientName, session.target.label));
}

/** The head of its final response has come. @param ms since its request came, milliseconds */
export function flowAnswered(flow: CountedFlow, ms: number): void {
  flow.counted?.answered(ms);
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
  const { clock, tracer } = session;
  const { counted, status } = flow;
  if (failure !== undefined) countFailure(session, flow, failure);
  if (counted !== undefined) {
    if (status !== undefined) {
      const ms = flow.firstByteMs ?? clock.monotonic() - flow.startedAt;
      if (flow.firstByteMs === undefined) counted.answered(ms);
      counted.response(status, ms, flow.grpcStatus);
      if (session.pair !== undefined && isFailedAnswer(status, flow.grpcStatus)) session.pair.failures++;
    }
    session.pair?.carried(flow.bytesIn, flow.bytesOut);
    discardFlow(session, flow);
  }
  if (tracer !== undefined && flow.protocol !== 'opaque')
    tracer.end(session, flow, { failure, attempts: upstream?.attempts });
  recordAccess(session, flow, upstream, failure);
}

function countFailure(session: CountedSession, { protocol }: CountedFlow, { kind }: ProxyFailure): void {
  session.counters.failure(kind, session.target.label, protocol === 'opaque' ? 'tcp' : 'http');
  pairOf(session).error(kind);
}

/** A flow has ended, and nothing more is known of it. */
export function discardFlow({ pair }: CountedSession, flow: CountedFlow): void {
  if (flow.counted === undefined) return;
  flow.counted.end();
  flow.counted = undefined;
  pair?.end();
}

import { backoffDelay } from '../../../base/backoff.ts';
import type { ProxyFailure } from '../../http/failures.ts';
import { type Field, isGrpc, valueOf } from '../../http/fields.ts';
import type { IncomingResponse, OutgoingRequest, Upstream, UpstreamHandler } from '../../http/messages.ts';
import { RequestTimeouts, type DeadlineKind, timeoutFailure } from './timeouts.ts';
import type { RequestPolicy, RouteConfig } from './policy.ts';
import { MAX_UNSEEN } from './replay-body.ts';
import { isFailure } from './route-match.ts';
import { Attempt, type AttemptOpener, type AttemptOwner } from './attempt.ts';
import { EarlierTries } from './earlier-tries.ts';
import { Upload } from './upload.ts';

/** Between attempts: 25 ms to 250 ms (Linkerd's). */
const PAUSE = { minMs: 50, maxMs: 250 } as const;

/** A request, and how it is to be treated. */
export interface RetryingRequestOptions {
  readonly opener: AttemptOpener;
  readonly policy: RequestPolicy;
  readonly protocol: 'http1' | 'http2';
  readonly request: OutgoingRequest;
  /** The handler of the request; it gets one response. */
  readonly handler: UpstreamHandler;
}

/**
 * One request with deadlines and, maybe, more than one attempt. To its handler it acts as the endpoint, to
 * each attempt as the client. It keeps the part of the body that another attempt may need. It passes no part
 * of a response on before it has decided for that response: afterwards there is no other attempt.
 */
export class RetryingRequest implements Upstream, AttemptOwner {
  readonly #options: RetryingRequestOptions;
  readonly #route: RouteConfig;
  readonly #deadlines: RequestTimeouts;
  readonly #startedAt: number;
  readonly #upload: Upload;
  #current: Attempt | undefined;
  readonly #earlier = new EarlierTries();
  #count = 0;
  /** Until there was an endpoint for the first time. */
  #waitedMs: number | undefined;
  #refusals = 0;
  /** The head of a gRPC response whose status may still lead to another attempt. */
  #held: IncomingResponse | undefined;
  /** The response that has been decided for: its status, and when its head came. */
  #answer: { readonly status: number; readonly ms: number } | undefined;
  /** Of a gRPC response without messages, whose head says it. */
  #grpcAtHead: number | undefined;
  #over = false;

  constructor(options: RetryingRequestOptions) {
    this.#options = options;
    const { policy, request } = options;
    this.#route = policy.configOf(request);
    request.trace?.follows(this.#route.name);
    this.#startedAt = policy.clock.monotonic();
    this.#deadlines = new RequestTimeouts(policy.clock, (kind) => this.#safely(() => this.#expired(kind)));
    // A request that an endpoint refuses unseen is sent again, whatever the rules say.
    const max = this.#route.retry === undefined ? MAX_UNSEEN : undefined;
    this.#upload = new Upload(policy.room, max, request.framing.kind === 'none');
  }

  get endpoint(): string | undefined {
    return this.#current?.upstream?.endpoint;
  }

  get attempts(): number {
    return this.#count;
  }

  get waitedMs(): number | undefined {
    return this.#waitedMs;
  }

  /** Makes the first attempt. @returns itself */
  begin(): this {
    const { timeouts, headMs, counters, retry } = this.#route;
    counters.requests++;
    if (retry !== undefined) this.#options.policy.budget.deposit();
    this.#deadlines.begin('request', timeouts.requestMs);
    this.#deadlines.begin('head', headMs);
    this.#deadlines.watchIdle(timeouts.idleMs);
    this.#attempt();
    return this;
  }

  // --- the handler's side

  write(chunk: Buffer): number {
    this.#deadlines.touch();
    return this.#over ? chunk.length : this.#upload.write(chunk, this.#open);
  }

  end(trailers: readonly Field[] | undefined): void {
    this.#deadlines.touch();
    this.#upload.end(trailers, this.#open);
  }

  consumed(bytes: number): void {
    this.#deadlines.touch();
    this.#current?.consumed(bytes);
  }

  abandon(failed = false): void {
    this.#finish();
    this.#current?.giveUp(failed);
  }

  /** The current attempt, if it has a connection. */
  get #open(): Attempt | undefined {
    return this.#current?.upstream === undefined ? undefined : this.#current;
  }

  // --- the attempt

  onAttemptInterim(status: number, fields: readonly Field[]): void {
    this.#deadlines.touch();
    this.#options.handler.onInterimResponse(status, fields);
  }

  onAttemptResponse(one: Attempt, response: IncomingResponse): void {
    this.#deadlines.touch();
    this.#deadlines.end('try');
    this.#deadlines.begin('response', this.#route.timeouts.responseMs);
    const { status, fields, framing } = response;
    const grpc = grpcStatus(fields);
    if (this.#wants(status, grpc)) return this.#again(one, status, grpc);
    if (framing.kind !== 'none' && grpc === undefined && this.#looksAtTrailers(fields)) this.#held = response;
    else this.#pass(response);
  }

  onAttemptBody(chunk: Buffer): void {
    this.#deadlines.touch();
    this.#passHeld();
    this.#options.handler.onResponseBody(chunk);
  }

  onAttemptEnd(one: Attempt, trailers: readonly Field[] | undefined): void {
    const grpc = grpcStatus(trailers ?? []);
    const held = this.#held;
    if (held !== undefined && this.#wants(held.status, grpc)) return this.#again(one, held.status, grpc);
    this.#passHeld();
    this.#done(one, grpc);
    const { handler, opener } = this.#options;
    try {
      handler.onResponseEnd(trailers);
    } catch (error) {
      // The attempt itself has succeeded and reports no failure, so the handler is told here.
      handler.onFailure(opener.caught(error), false);
    }
  }

  onAttemptSent(bytes: number): void {
    this.#deadlines.touch();
    this.#options.handler.onRequestSent(bytes);
  }

  onAttemptFlushed(): void {
    const { retry, timeouts } = this.#route;
    this.#deadlines.begin('response', timeouts.responseMs);
    // No limit for the last attempt: when it is over there is no other.
    if (
      retry !== undefined &&
      this.#count <= retry.limit &&
      this.#answer === undefined &&
      this.#held === undefined
    )
      this.#deadlines.begin('try', retry.tryTimeoutMs);
  }

  onAttemptFailure(one: Attempt, failure: ProxyFailure, unprocessed: boolean): void {
    if (this.#answer === undefined && !failure.isOurs) {
      if (unprocessed && this.#upload.replayable && this.#mayOpenAgain()) {
        // The endpoint has not looked at the request: sending it to another one is no retry.
        this.#held = undefined;
        // Parts of the body that arrive before the next try is open are kept for it.
        this.#current = undefined;
        this.#endAttempt();
        void this.#openAgain(this.#refusals++);
        return;
      }
      if (this.#wants(failure.status, failure.grpc)) return this.#again(one, failure.status, failure.grpc);
    }
    this.#fail(failure);
  }

  // --- attempts

  #mayOpenAgain(): boolean {
    const { policy, opener } = this.#options;
    return opener.mayOpenAgain(policy.clock.monotonic() - this.#startedAt);
  }

  async #openAgain(refusals: number): Promise<void> {
    const { opener } = this.#options;
    try {
      await opener.untilOpenAgain(refusals);
      if (!this.#over) this.#connect(true);
    } catch (error) {
      this.#fail(opener.caught(error));
    }
  }

  /**
   * Runs work of a timer or promise, above which no failure boundary stands: an exception ends this request.
   */
  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      const failure = this.#options.opener.caught(error);
      this.#current?.giveUp(false);
      this.#fail(failure);
    }
  }

  #attempt(): void {
    this.#count++;
    this.#route.counters.attempts++;
    this.#deadlines.touch();
    this.#connect(false);
  }

  #connect(fresh: boolean): void {
    const { opener, protocol, policy } = this.#options;
    const one = new Attempt(this, policy.clock);
    this.#current = one;
    opener.openAttempt(protocol, this.#asked, one, { fresh, earlier: this.#earlier }).then(
      (upstream) =>
        this.#safely(() => {
          this.#waitedMs ??= policy.clock.monotonic() - this.#startedAt;
          if (one.opened(upstream) && !this.#over) this.#upload.sendTo(one, this.#options.handler);
        }),
      (error: unknown) =>
        this.#safely(() => {
          if (this.#current === one && !this.#over) this.#fail(opener.caught(error));
        }),
    );
  }

  /**
   * The request as the next endpoint gets it. After an endpoint has had it, its sender must not hear that it
   * is unprocessed: then nothing is said of alternatives.
   */
  get #asked(): OutgoingRequest {
    const { request } = this.#options;
    if (this.#count <= 1 || request.alternatives === undefined) return request;
    return { ...request, alternatives: undefined };
  }

  /** Whether the request is retried after that answer or failure; if so, takes one retry from the budget. */
  #wants(status: number, grpc: number | undefined): boolean {
    return this.#route.retry?.again(status, grpc) === true && this.#mayTry();
  }

  /** Whether there may be another attempt: takes one retry from the budget, or counts why not. */
  #mayTry(): boolean {
    const { retry, counters } = this.#route;
    let refused: 'unreplayable' | 'exhausted' | 'overBudget' | undefined;
    if (retry === undefined || !this.#upload.ended || !this.#upload.replayable) refused = 'unreplayable';
    else if (this.#count > retry.limit) refused = 'exhausted';
    else if (!this.#options.policy.budget.withdraw()) refused = 'overBudget';
    if (refused !== undefined) counters.retries[refused]++;
    return refused === undefined;
  }

  /** A gRPC response that has begun without its status may end with a status that is retried. */
  #looksAtTrailers(fields: readonly Field[]): boolean {
    const { retry } = this.#route;
    if (
      retry?.looksAtGrpc !== true ||
      this.#count > retry.limit ||
      !this.#upload.ended ||
      !this.#upload.replayable
    )
      return false;
    return isGrpc(fields);
  }

  /** Tries again after a pause. */
  #again(one: Attempt, status: number, grpc: number | undefined): void {
    this.#answered(one, status, grpc);
    one.discard();
    this.#pause();
  }

  #pause(): void {
    const { policy } = this.#options;
    this.#held = undefined;
    this.#current = undefined;
    this.#route.counters.retries.sent++;
    this.#endAttempt();
    const own = this.#route.retry?.pauseMs;
    this.#deadlines.begin('pause', own ?? backoffDelay(this.#count - 1, PAUSE, policy.random));
  }

  #endAttempt(): void {
    this.#deadlines.end('try');
    this.#deadlines.end('response');
  }

  // --- the answer

  #passHeld(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#pass(held);
  }

  /** This is the response. */
  #pass(response: IncomingResponse): void {
    this.#answer = { status: response.status, ms: this.#elapsed() };
    this.#upload.drop();
    this.#deadlines.end('head');
    this.#grpcAtHead = grpcStatus(response.fields);
    this.#options.handler.onResponse(response);
  }

  #done(one: Attempt, grpc: number | undefined): void {
    const { status, ms } = this.#answer ?? { status: 0, ms: this.#elapsed() };
    const code = grpc ?? this.#grpcAtHead;
    const failed = isFailure(this.#route.classes, status, code);
    if (this.#count > 1 && this.#route.retry?.again(status, code) === false)
      this.#route.counters.retries.succeeded++;
    this.#answered(one, status, code);
    this.#route.counters.response({ status, grpc: code, failed, ms });
    this.#finish();
  }

  #answered(one: Attempt, status: number, grpc: number | undefined): void {
    const failed = isFailure(this.#route.classes, status, grpc);
    const ms = this.#options.policy.clock.monotonic() - one.startedAt;
    this.#route.counters.answer({ status, grpc, failed, ms });
  }

  #expired(kind: DeadlineKind): void {
    if (kind === 'pause') return this.#attempt();
    const { counters, timeouts, headMs } = this.#route;
    if (kind === 'try') return this.#attemptExpired();
    counters.timeouts[kind === 'head' ? 'request' : kind]++;
    const within = kind === 'head' ? headMs : timeouts[`${kind}Ms`];
    this.#current?.giveUp(this.#current.flushed);
    this.#fail(timeoutFailure(kind, this.#options.policy.label, within));
  }

  /** An attempt that may not be repeated is left to go on. */
  #attemptExpired(): void {
    const one = this.#current;
    if (one === undefined || !this.#mayTry()) return;
    this.#route.counters.timeouts.try++;
    this.#answered(one, 504, undefined);
    one.giveUp(true);
    this.#pause();
  }

  #fail(failure: ProxyFailure): void {
    if (this.#over) return;
    try {
      this.#countFailure(failure);
    } finally {
      this.#finish();
      this.#options.handler.onFailure(failure, false);
    }
  }

  #countFailure({ status, grpc }: ProxyFailure): void {
    if (this.#current !== undefined) this.#answered(this.#current, status, undefined);
    const asked = isGrpc(this.#options.request.fields);
    this.#route.counters.response({
      status: this.#answer?.status ?? (asked ? 200 : status),
      grpc: asked ? grpc : undefined,
      failed: true,
      ms: this.#answer?.ms ?? this.#elapsed(),
    });
  }

  #finish(): void {
    this.#over = true;
    this.#deadlines.endAll();
    this.#upload.finish();
    this.#held = undefined;
  }

  #elapsed(): number {
    return this.#options.policy.clock.monotonic() - this.#startedAt;
  }
}

function grpcStatus(fields: readonly Field[]): number | undefined {
  const text = valueOf(fields, 'grpc-status');
  return text !== undefined && /^\d{1,2}$/.test(text) ? Number(text) : undefined;
}

import type { Field } from '../http/fields.ts';
import type { ProxyFailure } from '../http/failures.ts';
import {
  IDEMPOTENT,
  type IncomingResponse,
  type OutgoingRequest,
  SAFE,
  type Upstream,
  type UpstreamHandler,
} from '../http/messages.ts';
import { Attempt, type AttemptOwner } from '../upstream/retry/attempt.ts';
import type { EarlierTries } from '../upstream/retry/earlier-tries.ts';
import { MAX_UNSEEN, PROCESS_ROOM } from '../upstream/retry/replay-body.ts';
import { Upload } from '../upstream/retry/upload.ts';
import type { WatchedTry } from '../upstream/try-watch.ts';
import type { MoveReason } from '../metrics/group-counters.ts';
import { unseen } from '../upstream/unprocessed.ts';
import type { GroupBackend } from './group-backend.ts';
import { refusalReason } from '../streams/stream-head.ts';
import { GroupMoves, mayStartOver, NONE_TRIED } from './group-moves.ts';
import type { ChosenBackend, RequestedGroup } from './requested-group.ts';
import { saysNoEndpoints } from './says-no-endpoints.ts';

/** One request to a group. */
export interface GroupRequestOptions {
  readonly protocol: 'http1' | 'http2';
  readonly request: OutgoingRequest;
  readonly handler: UpstreamHandler;
  /** The tries before this one; undefined: the request is not retried. */
  readonly earlier: EarlierTries | undefined;
}

/**
 * One request to a group of targets. It is sent to one of them, and to another if the first has not processed
 * it (it could not be connected to, or refused the request unprocessed), which is safe for every method. If
 * the connection is lost before the response has come, an idempotent request is sent once more. No other
 * request is sent twice: responses are passed on whatever they say. The one exception is a response to a safe
 * method in which a gateway says that it has no endpoint.
 */
export class GroupRequest implements Upstream, AttemptOwner {
  readonly #group: RequestedGroup;
  readonly #protocol: 'http1' | 'http2';
  readonly #request: OutgoingRequest;
  readonly #handler: UpstreamHandler;
  readonly #earlier: EarlierTries | undefined;
  readonly #startedAt: number;
  /** Undefined: it has no body, and all of it is sent with its head. */
  readonly #upload: Upload | undefined;
  /** The current try. */
  #current: Attempt | undefined;
  /** Of the current try; undefined until it has a connection. */
  #upstream: Upstream | undefined;
  #backend: GroupBackend | undefined;
  #moves: GroupMoves | undefined;
  #attempts = 0;
  #answered = false;
  #over = false;

  /** @param startedAt monotonic milliseconds */
  constructor(group: RequestedGroup, options: GroupRequestOptions, startedAt: number) {
    const { protocol, request, handler, earlier } = options;
    this.#group = group;
    this.#protocol = protocol;
    this.#request = request;
    this.#handler = handler;
    this.#earlier = earlier;
    this.#startedAt = startedAt;
    if (request.framing.kind !== 'none') this.#upload = new Upload(PROCESS_ROOM, MAX_UNSEEN, false);
  }

  /**
   * Sends it to a first backend.
   * @param fresh not on an unused HTTP/1 connection
   */
  begin(fresh: boolean): void {
    const failure = this.#group.outOfReach(this.#startedAt);
    if (failure !== undefined) this.#refuse(unseen(failure, this.#request.alternatives));
    else this.#next(this.#startedAt, fresh);
  }

  /**
   * Sends it to a first backend that has been drawn.
   * @param refusal what its permit says of the backend: asked again, it would count twice whom it refuses
   */
  beginAt(chosen: ChosenBackend, fresh: boolean, refusal: ProxyFailure | undefined): void {
    this.#sendUnless(refusal, chosen, this.#startedAt, fresh);
  }

  /**
   * Takes over a request that has been sent to a backend already (`FirstTries`).
   * @returns who hears of that try from now on
   */
  adopt(backend: GroupBackend, sent: WatchedTry): UpstreamHandler {
    const one = new Attempt(this, this.#group.clock, this.#startedAt);
    this.#attempts = 1;
    this.#backend = backend;
    this.#current = one;
    this.#upstream = sent.takeOver(this);
    one.opened(this.#upstream);
    return one;
  }

  get endpoint(): string | undefined {
    return this.#upstream?.endpoint;
  }

  get attempts(): number {
    return this.#attempts;
  }

  write(chunk: Buffer): number {
    return this.#over || this.#upload === undefined ? chunk.length : this.#upload.write(chunk, this.#open);
  }

  end(trailers: readonly Field[] | undefined): void {
    this.#upload?.end(trailers, this.#open);
  }

  consumed(bytes: number): void {
    this.#upstream?.consumed(bytes);
  }

  abandon(failed = false): void {
    this.#mayBeProcessed();
    this.#finish();
    this.#giveUp(failed);
  }

  /** The current attempt, if it has a connection. */
  get #open(): Attempt | undefined {
    return this.#upstream === undefined ? undefined : this.#current;
  }

  // --- the current try

  onAttemptInterim(status: number, fields: readonly Field[]): void {
    const reason = refusalReason(status, fields);
    if (reason === undefined) this.#handler.onInterimResponse(status, fields);
    else this.#moved.reason = reason;
  }

  onAttemptResponse(one: Attempt, response: IncomingResponse): void {
    const backend = this.#backend;
    if (saysNoEndpoints(response)) {
      const now = this.#group.clock.monotonic();
      this.#rest(now);
      const mayMove = SAFE.has(this.#request.method) && this.#isReplayable;
      const next = mayMove ? this.#other(now) : undefined;
      if (next !== undefined) {
        one.discard();
        this.#leave('no_endpoints');
        return this.#send(next, now, false);
      }
    } else if (backend !== undefined) {
      backend.served();
      this.#group.numbers.answered(backend.name, this.#group.clock);
    }
    this.#mayBeProcessed();
    this.#answered = true;
    this.#upload?.drop();
    this.#handler.onResponse(response);
  }

  onAttemptBody(chunk: Buffer): void {
    this.#handler.onResponseBody(chunk);
  }

  onAttemptEnd(_: Attempt, trailers: readonly Field[] | undefined): void {
    // An exception of the handler comes back to `onAttemptFailure`.
    this.#handler.onResponseEnd(trailers);
    this.#finish();
  }

  onAttemptSent(bytes: number): void {
    this.#handler.onRequestSent(bytes);
  }

  onAttemptFlushed(): void {
    // Only `RetryingRequest` has deadlines.
  }

  onAttemptFailure(_: Attempt, failure: ProxyFailure, unprocessed: boolean): void {
    if (!unprocessed) this.#mayBeProcessed();
    if (this.#answered || failure.isOurs) return this.#fail(failure);
    const now = this.#group.clock.monotonic();
    const reason = this.#moves?.reason;
    if (unprocessed && reason !== undefined) this.#rest(now);
    if (!this.#isReplayable) return this.#fail(failure);
    if (unprocessed) {
      this.#leave(reason === undefined ? 'refused' : 'no_endpoints');
      return this.#next(now, true, failure);
    }
    const next = this.#mayRepeat(failure) ? this.#other(now) : undefined;
    if (next === undefined) return this.#fail(failure);
    this.#moved.repeated = true;
    this.#leave('retry');
    this.#send(next, now, false);
  }

  // --- backends

  /** Whether all that has come of it so far can be sent to another backend. */
  get #isReplayable(): boolean {
    return this.#upload?.replayable !== false;
  }

  /**
   * Whether it may be sent again although it may have been processed: its connection was lost, and its method
   * is idempotent.
   */
  #mayRepeat(failure: ProxyFailure): boolean {
    return failure.lost && this.#moves?.repeated !== true && IDEMPOTENT.has(this.#request.method);
  }

  /** The backend may have processed this try, so it counts among those of which one may leave the tier. */
  #mayBeProcessed(): void {
    if (this.#earlier !== undefined && this.#backend !== undefined) this.#earlier.triedAt(this.#backend.tier);
  }

  /** The only tier that it may go to; undefined: any. */
  get #tier(): number | undefined {
    return this.#earlier?.onlyTier;
  }

  get #tried(): readonly GroupBackend[] {
    return this.#moves === undefined ? NONE_TRIED : this.#moves.tried;
  }

  get #moved(): GroupMoves {
    return (this.#moves ??= new GroupMoves());
  }

  /** Draws another backend that can take it now. */
  #other(now: number): ChosenBackend | undefined {
    const backend = this.#backend;
    const tried = backend === undefined ? this.#tried : [...this.#tried, backend];
    return this.#group.pickOpen(tried, now, this.#tier);
  }

  #rest(now: number): void {
    this.#backend?.rest(now, this.#group.random);
  }

  /** Gives up the current backend, so that another can be tried. @param why for the metrics */
  #leave(why: MoveReason): void {
    const backend = this.#backend;
    if (backend === undefined) return;
    this.#moved.leave(backend);
    this.#backend = undefined;
    this.#current = undefined;
    this.#upstream = undefined;
    this.#group.numbers.left(backend.name, why, this.#group.clock.monotonic());
  }

  /**
   * Sends it to a backend that it was not sent to in this round; after the last one, another round begins.
   * @param refusal the failure with which the last backend refused it, if it did
   */
  #next(now: number, fresh: boolean, refusal?: ProxyFailure): void {
    const chosen = this.#group.pick(this.#tried, now, this.#tier);
    if (chosen !== undefined) this.#send(chosen, now, fresh);
    else void this.#startOver(refusal);
  }

  #send(chosen: ChosenBackend, now: number, fresh: boolean): void {
    this.#sendUnless(this.#request.permit?.(chosen.backend.name), chosen, now, fresh);
  }

  /** @param refusal why its client may not use the backend; undefined: it may */
  #sendUnless(
    refusal: ProxyFailure | undefined,
    { backend, alternatives }: ChosenBackend,
    now: number,
    fresh: boolean,
  ): void {
    const [request, protocol, earlier] = [this.#request, this.#protocol, this.#earlier];
    const one = new Attempt(this, this.#group.clock, now);
    this.#current = one;
    this.#backend = backend;
    if (refusal !== undefined) return this.#refuse(refusal);
    this.#attempts++;
    const told = withAlternatives(request, alternatives);
    const again = fresh || (earlier !== undefined && earlier.endpoints.size > 0);
    const upstream = again ? undefined : backend.target.openNow(protocol, told, one, now);
    if (upstream !== undefined) return this.#opened(one, upstream);
    const opened =
      earlier === undefined
        ? backend.target.open(protocol, told, one, fresh)
        : backend.target.openAttempt(protocol, told, one, { fresh, earlier });
    opened.then(
      (found) => this.#safely(() => this.#opened(one, found)),
      (error: unknown) => this.#safely(() => this.#notOpened(one, backend, error)),
    );
  }

  /** Fails when this request has been handed to whoever sends it: its handler expects nothing sooner. */
  #refuse(refusal: ProxyFailure): void {
    this.#group.clock.after(0, () => this.#safely(() => this.#fail(refusal)), { unref: true });
  }

  #opened(one: Attempt, upstream: Upstream): void {
    if (!one.opened(upstream) || this.#over || this.#current !== one) return;
    this.#upstream = upstream;
    this.#group.outage.over();
    this.#upload?.sendTo(one, this.#handler);
  }

  #notOpened(one: Attempt, backend: GroupBackend, error: unknown): void {
    if (this.#over || this.#current !== one) return;
    const failure = this.#group.caught(error);
    if (failure.isOurs) return this.#fail(failure);
    (this.#moved.failures ??= new Map()).set(backend.name, failure);
    backend.unreached = failure;
    this.#leave('connect');
    this.#next(this.#group.clock.monotonic(), false);
  }

  /** Every backend has been tried, and none has processed it: begins another round, or fails. */
  async #startOver(refusal: ProxyFailure | undefined): Promise<void> {
    const group = this.#group;
    const moves = this.#moved;
    const { failures } = moves;
    try {
      group.numbers.pending++;
      const asked = mayStartOver(group, this.#request, this.#startedAt, moves);
      moves.rounds++;
      const again = await asked.finally(() => group.numbers.pending--);
      if (this.#over) return;
      if (!again) {
        const known = failures ?? new Map<string, ProxyFailure>();
        const failure = failures === undefined && refusal !== undefined ? refusal : group.unserved(known);
        return this.#fail(unseen(failure, this.#request.alternatives));
      }
      moves.startOver();
      this.#next(group.clock.monotonic(), true, refusal);
    } catch (error) {
      this.#fail(group.caught(error));
    }
  }

  /**
   * Runs a callback of a promise. No failure boundary is above it on the call stack, so an exception ends
   * this request here.
   */
  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      const failure = this.#group.caught(error);
      this.#giveUp(false);
      this.#fail(failure);
    }
  }

  /** The current try does not count any more. @param failed whether the endpoint is to blame */
  #giveUp(failed: boolean): void {
    this.#current?.giveUp(failed);
  }

  #fail(failure: ProxyFailure): void {
    if (this.#over) return;
    if (this.#backend !== undefined) this.#backend.numbers.failed++;
    else this.#group.numbers.refused++;
    this.#over = true;
    this.#upload?.finish();
    this.#handler.onFailure(failure, false);
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#answered && this.#backend !== undefined) this.#backend.numbers.served++;
    this.#upload?.finish();
  }
}

/** Written out: a copy of whatever is in it costs more than all that is drawn. Backends ask for no permit. */
function withAlternatives(request: OutgoingRequest, alternatives: number): OutgoingRequest {
  const { method, path, authority, version, fields, framing, client, trace } = request;
  return { method, path, authority, version, framing, fields, client, alternatives, trace };
}

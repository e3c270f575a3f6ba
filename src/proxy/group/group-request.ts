import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { Boundary } from '../http/failure-boundary.ts';
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
import type { GroupCounters, MoveReason } from '../metrics/group-counters.ts';
import type { Outage } from '../upstream/outage.ts';
import { unseen } from '../upstream/unprocessed.ts';
import type { GroupBackend } from './group-backend.ts';
import { refusalReason } from '../streams/stream-head.ts';
import { saysNoEndpoints } from './says-no-endpoints.ts';

/** A backend that has been drawn. */
export interface ChosenBackend {
  readonly backend: GroupBackend;
  /** How many others that it has not been sent to could take the request now. */
  readonly alternatives: number;
}

/** What a request needs of the group that it is for. */
export interface RequestedGroup extends Boundary {
  readonly clock: Clock;
  readonly random: Random;
  readonly outage: Outage;
  readonly numbers: GroupCounters;
  readonly backends: readonly GroupBackend[];
  /**
   * Draws a backend: of those that can take a request now, else of all.
   * @param tried backends that the request has been sent to in this round
   * @param now monotonic milliseconds
   * @param tier the only one that it may go to; undefined: any
   */
  pick(tried: readonly GroupBackend[], now: number, tier?: number): ChosenBackend | undefined;
  /** Draws one of the backends that can take a request now; undefined where none can. */
  pickOpen(tried: readonly GroupBackend[], now: number, tier?: number): ChosenBackend | undefined;
  /**
   * Why nobody can serve, where that has been so for the failfast time and is known of each backend: then
   * none is tried for the sake of a request, but all in the background.
   * @param now monotonic milliseconds
   */
  outOfReach(now: number): ProxyFailure | undefined;
  /** As `SessionTarget.mayOpenAgain`. */
  mayOpenAgain(elapsedMs: number): boolean;
  /** As `SessionTarget.untilOpenAgain`. */
  untilOpenAgain(refusals: number): Promise<void>;
  /**
   * The failure that the client gets where no backend could be connected to.
   * @param failures why, by name of the backend; empty: the group has no backend
   */
  unserved(failures: ReadonlyMap<string, ProxyFailure>): ProxyFailure;
}

/** One request to a group. */
export interface GroupRequestOptions {
  readonly protocol: 'http1' | 'http2';
  readonly request: OutgoingRequest;
  readonly handler: UpstreamHandler;
  /** Whether a new HTTP/1 connection is wanted rather than an unused one. */
  readonly fresh: boolean;
  /** The tries before this one; undefined: the request is not retried. */
  readonly earlier: EarlierTries | undefined;
}

const NONE: readonly GroupBackend[] = [];

/**
 * One request to a group of targets. It is sent to one of them, and to another if the first has not processed
 * it (it could not be connected to, or refused the request unprocessed), which is safe for every method. If
 * the connection is lost before the response has come, an idempotent request is sent once more. No other
 * request is sent twice: responses are passed on whatever they say. The one exception is a response to a safe
 * method in which a gateway says that it has no endpoint.
 */
export class GroupRequest implements Upstream, AttemptOwner {
  readonly #group: RequestedGroup;
  readonly #options: GroupRequestOptions;
  readonly #startedAt: number;
  /** Undefined: it has no body, and all of it is sent with its head. */
  readonly #upload: Upload | undefined;
  #current: Attempt | undefined;
  #backend: GroupBackend | undefined;
  #tried = NONE;
  /** Why each backend could not be connected to, in this round. */
  #failures: Map<string, ProxyFailure> | undefined;
  #rounds = 0;
  #attempts = 0;
  /** Why the backend refuses the request, if it has sent the interim response of `refusalReason`. */
  #reason: string | undefined;
  /** Whether it has been sent again after a connection was lost, which is done once. */
  #repeated = false;
  #answered = false;
  #over = false;

  /** @param startedAt monotonic milliseconds */
  constructor(group: RequestedGroup, options: GroupRequestOptions, startedAt: number) {
    this.#group = group;
    this.#options = options;
    this.#startedAt = startedAt;
    if (options.request.framing.kind !== 'none') this.#upload = new Upload(PROCESS_ROOM, MAX_UNSEEN, false);
  }

  /** Sends it to a first backend. */
  begin(): void {
    const failure = this.#group.outOfReach(this.#startedAt);
    if (failure !== undefined) this.#refuse(unseen(failure, this.#options.request.alternatives));
    else this.#next(this.#startedAt, this.#options.fresh);
  }

  get endpoint(): string | undefined {
    return this.#current?.upstream?.endpoint;
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
    this.#current?.consumed(bytes);
  }

  abandon(failed = false): void {
    this.#mayBeProcessed();
    this.#finish();
    this.#current?.giveUp(failed);
  }

  /** The current attempt, if it has a connection. */
  get #open(): Attempt | undefined {
    return this.#current?.upstream === undefined ? undefined : this.#current;
  }

  // --- the attempt

  onAttemptInterim(status: number, fields: readonly Field[]): void {
    const reason = refusalReason(status, fields);
    if (reason === undefined) this.#options.handler.onInterimResponse(status, fields);
    else this.#reason = reason;
  }

  onAttemptResponse(one: Attempt, response: IncomingResponse): void {
    if (saysNoEndpoints(response)) {
      const now = this.#group.clock.monotonic();
      this.#rest(now);
      const mayMove = SAFE.has(this.#options.request.method) && this.#isReplayable;
      const next = mayMove ? this.#other(now) : undefined;
      if (next !== undefined) {
        this.#leave('no_endpoints');
        one.discard();
        return this.#send(next, now, false);
      }
    } else if (this.#backend !== undefined) {
      this.#backend.served();
      this.#group.numbers.answered(this.#backend.name, this.#group.clock);
    }
    this.#mayBeProcessed();
    this.#answered = true;
    this.#upload?.drop();
    this.#options.handler.onResponse(response);
  }

  onAttemptBody(chunk: Buffer): void {
    this.#options.handler.onResponseBody(chunk);
  }

  onAttemptEnd(_: Attempt, trailers: readonly Field[] | undefined): void {
    // An exception of the handler comes back to `onAttemptFailure`.
    this.#options.handler.onResponseEnd(trailers);
    this.#finish();
  }

  onAttemptSent(bytes: number): void {
    this.#options.handler.onRequestSent(bytes);
  }

  onAttemptFlushed(): void {
    // Only `RetryingRequest` has deadlines.
  }

  onAttemptFailure(_: Attempt, failure: ProxyFailure, unprocessed: boolean): void {
    if (!unprocessed) this.#mayBeProcessed();
    if (this.#answered || failure.isOurs) return this.#fail(failure);
    const now = this.#group.clock.monotonic();
    if (unprocessed && this.#reason !== undefined) this.#rest(now);
    if (!this.#isReplayable) return this.#fail(failure);
    if (unprocessed) {
      this.#leave(this.#reason === undefined ? 'refused' : 'no_endpoints');
      return this.#next(now, true, failure);
    }
    const next = this.#mayRepeat(failure) ? this.#other(now) : undefined;
    if (next === undefined) return this.#fail(failure);
    this.#repeated = true;
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
    return failure.lost && !this.#repeated && IDEMPOTENT.has(this.#options.request.method);
  }

  /** The backend may have processed this try, so it counts among those of which one may leave the tier. */
  #mayBeProcessed(): void {
    if (this.#backend !== undefined) this.#options.earlier?.triedAt(this.#backend.tier);
  }

  /** The only tier that it may go to; undefined: any. */
  get #tier(): number | undefined {
    return this.#options.earlier?.onlyTier;
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
    this.#tried = [...this.#tried, backend];
    this.#backend = undefined;
    this.#current = undefined;
    this.#reason = undefined;
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

  #send({ backend, alternatives }: ChosenBackend, now: number, fresh: boolean): void {
    const { protocol, request, earlier } = this.#options;
    const one = new Attempt(this, this.#group.clock, now);
    this.#current = one;
    this.#backend = backend;
    const refusal = request.permit?.(backend.name);
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
    this.#group.outage.over();
    this.#upload?.sendTo(one, this.#options.handler);
  }

  #notOpened(one: Attempt, backend: GroupBackend, error: unknown): void {
    if (this.#over || this.#current !== one) return;
    const failure = this.#group.caught(error);
    if (failure.isOurs) return this.#fail(failure);
    (this.#failures ??= new Map()).set(backend.name, failure);
    backend.unreached = failure;
    this.#leave('connect');
    this.#next(this.#group.clock.monotonic(), false);
  }

  /** Every backend has been tried, and none has processed it: begins another round, or fails. */
  async #startOver(refusal: ProxyFailure | undefined): Promise<void> {
    const group = this.#group;
    const failures = this.#failures;
    const round = this.#rounds++;
    try {
      group.numbers.pending++;
      const again = await this.#mayStartOver(round).finally(() => group.numbers.pending--);
      if (this.#over) return;
      if (!again) {
        const known = failures ?? new Map<string, ProxyFailure>();
        const failure = failures === undefined && refusal !== undefined ? refusal : group.unserved(known);
        return this.#fail(unseen(failure, this.#options.request.alternatives));
      }
      this.#tried = NONE;
      this.#failures = undefined;
      this.#next(group.clock.monotonic(), true, refusal);
    } catch (error) {
      this.#fail(group.caught(error));
    }
  }

  /** Waits before another round. @returns false, without waiting, where there may be none */
  async #mayStartOver(round: number): Promise<boolean> {
    const group = this.#group;
    // Whoever has sent it tries its others, which may be sooner.
    if (this.#options.request.alternatives !== undefined) return false;
    if (group.backends.length === 0 || !group.mayOpenAgain(group.clock.monotonic() - this.#startedAt))
      return false;
    const failures = this.#failures;
    if (failures !== undefined) return !areFull(failures) && group.outage.mayTryAgain(round);
    await group.untilOpenAgain(round);
    return true;
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
      this.#current?.giveUp(false);
      this.#fail(failure);
    }
  }

  #fail(failure: ProxyFailure): void {
    if (this.#over) return;
    if (this.#backend !== undefined) this.#backend.numbers.failed++;
    else this.#group.numbers.refused++;
    this.#over = true;
    this.#upload?.finish();
    this.#options.handler.onFailure(failure, false);
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
  const { method, path, authority, version, fields, framing, client } = request;
  return { method, path, authority, version, framing, fields, client, alternatives };
}

/** Whether all backends have as many requests as they may have: then no other round is made. */
export function areFull(failures: ReadonlyMap<string, ProxyFailure>): boolean {
  return failures.values().every(({ kind }) => kind === 'load shed');
}

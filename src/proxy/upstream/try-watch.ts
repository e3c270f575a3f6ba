import type { Field } from '../http/fields.ts';
import type { IncomingResponse, OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';

/** A request at an endpoint that somebody may take over, to send it elsewhere. */
export interface WatchedTry extends Upstream {
  readonly request: OutgoingRequest;
  /** Who sent it, and hears what becomes of it as long as nobody has taken it over. */
  readonly handler: UpstreamHandler;
  /** Monotonic milliseconds. */
  readonly startedAt: number;
  /** From now on, whoever sent it deals with `by`. @returns the request at this endpoint, for `by` */
  takeOver(by: Upstream): Upstream;
}

/**
 * Watches requests without a body, and takes those over that are to go on elsewhere. Nearly none are: so one
 * object watches all requests of a kind, and their events do not pass through it. Each method is called
 * before the handler gets the event; what it returns is the handler from then on, and the request is watched
 * no more; undefined: nothing changes.
 */
export interface TryWatch {
  /** In place of `OutgoingRequest.alternatives`. */
  readonly alternatives: number;
  onInterimResponse(one: WatchedTry, status: number, fields: readonly Field[]): UpstreamHandler | undefined;
  onResponse(one: WatchedTry, response: IncomingResponse): UpstreamHandler | undefined;
  /** @param answered whether its response has begun, or it failed for a mistake of ours: it stays here */
  onFailure(one: WatchedTry, answered: boolean): UpstreamHandler | undefined;
  /** Its response is complete, or was given up by whoever sent it. */
  onEnd(): void;
}

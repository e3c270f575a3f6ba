import type { HeaderChange } from '../../policy/routing/routing.ts';
import type { Field } from '../http/fields.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { IncomingResponse, Upstream, UpstreamHandler } from '../http/messages.ts';
import { changedFields } from './request-changes.ts';

/**
 * Passes everything on to the handler of a request; what is to be heard otherwise is said by who extends it.
 */
export class PassingHandler implements UpstreamHandler {
  protected readonly handler: UpstreamHandler;

  constructor(handler: UpstreamHandler) {
    this.handler = handler;
  }

  onInterimResponse(status: number, fields: readonly Field[]): void {
    this.handler.onInterimResponse(status, fields);
  }

  onResponse(response: IncomingResponse): void {
    this.handler.onResponse(response);
  }

  onResponseBody(chunk: Buffer): void {
    this.handler.onResponseBody(chunk);
  }

  onResponseEnd(trailers: readonly Field[] | undefined): void {
    this.handler.onResponseEnd(trailers);
  }

  onRequestSent(bytes: number): void {
    this.handler.onRequestSent(bytes);
  }

  onFailure(failure: ProxyFailure, unprocessed: boolean): void {
    this.handler.onFailure(failure, unprocessed);
  }
}

/** Changes the fields of the response. */
export class ChangedResponse extends PassingHandler {
  readonly #change: HeaderChange;

  constructor(handler: UpstreamHandler, change: HeaderChange) {
    super(handler);
    this.#change = change;
  }

  override onResponse(response: IncomingResponse): void {
    super.onResponse({ ...response, fields: changedFields(response.fields, this.#change) });
  }
}

/** A request that is answered here, without an endpoint: its body is dropped. */
export class AnsweredHere implements Upstream {
  readonly endpoint = undefined;
  #abandoned = false;

  /** Whether nobody waits for the answer any more. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  write(chunk: Buffer): number {
    return chunk.length;
  }

  end(): void {
    // There is nobody to tell.
  }

  consumed(): void {
    // The answer has no body.
  }

  abandon(): void {
    this.#abandoned = true;
  }
}

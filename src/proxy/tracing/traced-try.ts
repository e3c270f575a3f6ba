import type { Boundary } from '../http/failure-boundary.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { IncomingResponse, OutgoingRequest, Upstream, UpstreamHandler } from '../http/messages.ts';
import type { RequestTrace, TryTrace } from '../http/request-trace.ts';

/** Where a request is sent. */
export interface TriedEndpoint {
  readonly picked: { readonly endpoint: string };
  readonly target: Boundary & { readonly label: string };
}

/** A request, and who hears of its answer. */
export interface TracedRequest {
  readonly request: OutgoingRequest;
  readonly handler: UpstreamHandler;
}

/** Opens a request, as `EndpointConnections.open` does. */
export type Opens = (request: OutgoingRequest, handler: UpstreamHandler) => Promise<Upstream>;

/**
 * Sends a request that is recorded: what is opened gets the request with the trace's next context, and the
 * trace hears what becomes of it.
 * @throws ProxyFailure of `open`
 */
export async function openTraced(
  trace: RequestTrace,
  { picked, target }: TriedEndpoint,
  { request, handler }: TracedRequest,
  open: Opens,
): Promise<Upstream> {
  const one = trace.beginTry(picked.endpoint, target.label);
  const traced = new TracedTry(one, handler);
  try {
    // Nobody records it a second time.
    const sent = { ...request, fields: one.sent(request.fields), trace: undefined };
    traced.upstream = await open(sent, traced);
    return traced;
  } catch (error) {
    const failure = target.caught(error);
    one.failed(failure);
    throw failure;
  }
}

/** Stands between a request and its endpoint, and passes everything on. */
class TracedTry implements Upstream, UpstreamHandler {
  upstream: Upstream | undefined;
  readonly #trace: TryTrace;
  readonly #handler: UpstreamHandler;

  constructor(trace: TryTrace, handler: UpstreamHandler) {
    this.#trace = trace;
    this.#handler = handler;
  }

  get endpoint(): string | undefined {
    return this.upstream?.endpoint;
  }

  get attempts(): number | undefined {
    return this.upstream?.attempts;
  }

  get mayRefuse(): boolean {
    return this.upstream?.mayRefuse === true;
  }

  write(chunk: Buffer): number {
    return this.upstream?.write(chunk) ?? chunk.length;
  }

  end(trailers: readonly Field[] | undefined): void {
    this.upstream?.end(trailers);
  }

  consumed(bytes: number): void {
    this.upstream?.consumed(bytes);
  }

  abandon(failed?: boolean): void {
    this.upstream?.abandon(failed);
    this.#trace.abandoned(failed === true);
  }

  onInterimResponse(status: number, fields: readonly Field[]): void {
    this.#handler.onInterimResponse(status, fields);
  }

  onResponse(response: IncomingResponse): void {
    this.#trace.answered(response.status, response.fields);
    this.#handler.onResponse(response);
  }

  onResponseBody(chunk: Buffer): void {
    this.#handler.onResponseBody(chunk);
  }

  onResponseEnd(trailers: readonly Field[] | undefined): void {
    this.#trace.complete(trailers);
    this.#handler.onResponseEnd(trailers);
  }

  onRequestSent(bytes: number): void {
    this.#handler.onRequestSent(bytes);
  }

  onFailure(failure: ProxyFailure, unprocessed: boolean): void {
    this.#trace.failed(failure);
    this.#handler.onFailure(failure, unprocessed);
  }
}

import { PROXY_ERROR } from '../../src/api/linkerd/proxy-fields.ts';
import type { BackendTarget } from '../../src/proxy/group/group-backend.ts';
import { ProxyFailure } from '../../src/proxy/http/failures.ts';
import { type Field, makeField } from '../../src/proxy/http/fields.ts';
import {
  NO_BODY,
  type OutgoingRequest,
  type Upstream,
  type UpstreamHandler,
} from '../../src/proxy/http/messages.ts';
import { Http2ErrorCode } from '../../src/proxy/http2/errors.ts';
import type { Http2Connection } from '../../src/proxy/http2/http2-connection.ts';
import type { Http2Stream, StreamHandler } from '../../src/proxy/http2/stream.ts';
import type { PickedEndpoint } from '../../src/proxy/upstream/balancer/endpoint.ts';
import { Http2Upstream } from '../../src/proxy/upstream/http2-request.ts';
import type { Standing } from '../../src/proxy/upstream/session-target.ts';
import type { TryWatch } from '../../src/proxy/upstream/try-watch.ts';
import { VirtualClock } from './virtual-clock.ts';

/** What a target does with a request. With `serves`, `lost` and `answers 500` it has processed it. */
export type Deed =
  | 'serves'
  | 'refuses'
  | 'has none'
  | 'cannot be reached'
  | 'is full'
  | 'lost'
  | 'fails fast'
  | 'answers 500'
  /** Nothing comes by itself: `FakeTarget.streams` has it. */
  | 'hangs';

/** A request that a target has read. */
export interface Came {
  readonly backend: string;
  readonly alternatives: number | undefined;
  readonly body: string[];
}

const failure = (lost: boolean) => new ProxyFailure('connection failed', 'gone', undefined, { lost });

/** A target without connections, which does with each request what the test says. */
export class FakeTarget implements BackendTarget {
  standing: Standing = 'open';
  proven = 0;
  provenEarly = 0;
  /** Requests that were to be opened, taken or not. */
  opens = 0;
  readonly name: string;
  readonly deeds: Deed[];
  /** The requests that were sent as streams. */
  readonly streams: FakeStream[] = [];
  readonly came: Came[];
  readonly #shared: boolean;

  /**
   * @param deeds one for each request; the last one is repeated
   * @param shared whether requests without a body are sent as streams of a shared connection
   */
  constructor(name: string, came: Came[], deeds: readonly Deed[], shared = false) {
    this.name = name;
    this.came = came;
    this.deeds = [...deeds];
    this.#shared = shared;
  }

  openWatched(
    sent: OutgoingRequest,
    handler: UpstreamHandler,
    now: number,
    watch: TryWatch,
  ): Upstream | undefined {
    const [next = 'serves'] = this.deeds;
    if (!this.#shared || next === 'cannot be reached' || next === 'is full') return undefined;
    this.opens++;
    if (this.deeds.length > 1) this.deeds.shift();
    const stream = new FakeStream();
    this.streams.push(stream);
    const upstream = new Http2Upstream({
      label: this.name,
      connection: stream as unknown as Http2Connection,
      endpoint: { endpoint: `${this.name}:1`, ...NOT_JUDGED } as unknown as PickedEndpoint,
      request: sent,
      handler,
      clock: new VirtualClock(),
      startedAt: now,
      upgraded: true,
      watch,
    });
    upstream.start();
    if (next !== 'refuses' && next !== 'has none')
      this.came.push({ backend: this.name, alternatives: watch.alternatives, body: [] });
    queueMicrotask(() => stream.act(next, this.name));
    return upstream;
  }

  proveEarly(): void {
    this.provenEarly++;
  }

  prove(): void {
    this.proven++;
  }

  openNow(): undefined {
    return undefined;
  }

  async open(_: 'http1' | 'http2', request: OutgoingRequest, handler: UpstreamHandler): Promise<Upstream> {
    this.opens++;
    const deed = this.deeds.length > 1 ? this.deeds.shift() : this.deeds[0];
    await Promise.resolve();
    if (deed === 'cannot be reached') throw new ProxyFailure('connection failed', `${this.name} refused`);
    if (deed === 'is full') throw new ProxyFailure('load shed', `${this.name} is full`);
    const body: string[] = [];
    const { alternatives } = request;
    if (deed !== 'refuses' && deed !== 'has none') this.came.push({ backend: this.name, alternatives, body });
    queueMicrotask(() => queueMicrotask(() => this.#act(deed ?? 'serves', handler)));
    return {
      endpoint: `${this.name}:1`,
      write: (chunk) => {
        body.push(String(chunk));
        return chunk.length;
      },
      end: () => undefined,
      consumed: () => undefined,
      abandon: () => undefined,
    };
  }

  openAttempt(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
  ): Promise<Upstream> {
    return this.open(protocol, request, handler);
  }

  leaseOrFail(): Promise<never> {
    const [deed] = this.deeds;
    return Promise.reject(
      deed === 'cannot be reached'
        ? new ProxyFailure('connection failed', `${this.name} refused`)
        : new Error('no flows here'),
    );
  }

  #act(deed: Deed, handler: UpstreamHandler): void {
    const answer = (status: number, fields = [makeField('x-from', this.name)]) => {
      handler.onResponse({ status, fields, framing: NO_BODY });
      handler.onResponseEnd(undefined);
    };
    if (deed === 'hangs') return;
    if (deed === 'refuses') handler.onFailure(failure(false), true);
    else if (deed === 'has none') {
      handler.onInterimResponse(103, [makeField(PROXY_ERROR, 'no ready endpoints for web')]);
      handler.onFailure(failure(false), true);
    } else if (deed === 'lost') handler.onFailure(failure(true), false);
    else if (deed === 'fails fast') answer(504, [NO_ENDPOINTS]);
    else answer(deed === 'answers 500' ? 500 : 200);
  }
}

/** With a 503 or 504, what a gateway without an endpoint says. */
export const NO_ENDPOINTS = makeField(PROXY_ERROR, 'HTTP Balancer service in fail-fast');

const NOT_JUDGED = { succeed() {}, fail() {}, abandon() {} };

/** A request that was sent as a stream, and the connection that it is on. */
export class FakeStream {
  // Of the connection.
  readonly active = 0;
  readonly nextStreamId = 1;
  readonly verdict = undefined;
  closed = false;
  // Of the stream.
  readonly expected = undefined;
  readonly remoteEnded = true;
  readonly endSent = true;
  /** Bytes that were reported as dealt with. */
  taken = 0;
  /** The code with which we have reset it. */
  code: number | undefined;
  #handler: StreamHandler | undefined;

  open(_head: unknown, _ended: boolean, handler: StreamHandler): this {
    this.#handler = handler;
    return this;
  }

  get #itself(): Http2Stream {
    return this as unknown as Http2Stream;
  }

  consumed(bytes: number): void {
    this.taken += bytes;
  }

  reset(code: number): void {
    this.code = code;
  }

  /** @param ended whether the response has no body */
  head(status: number, fields: readonly Field[], ended: boolean): void {
    this.#do((handler) =>
      handler.onHead(this.#itself, [makeField(':status', String(status)), ...fields], ended),
    );
  }

  data(text: string): void {
    this.#do((handler) => handler.onData(this.#itself, Buffer.from(text)));
  }

  end(): void {
    this.#do((handler) => handler.onEnd(this.#itself, undefined));
  }

  /** It is reset by the endpoint. */
  refuse(unprocessed: boolean): void {
    this.#do((handler) => handler.onReset(this.#itself, Http2ErrorCode.REFUSED_STREAM, unprocessed));
  }

  /** Its connection is lost. */
  lose(): void {
    this.closed = true;
    this.#do((handler) => handler.onReset(this.#itself, Http2ErrorCode.CANCEL, false));
  }

  act(deed: Deed, from: string): void {
    const name = makeField('x-from', from);
    if (deed === 'serves') this.head(200, [name], true);
    else if (deed === 'answers 500') this.head(500, [name], true);
    else if (deed === 'fails fast') this.head(504, [NO_ENDPOINTS], true);
    else if (deed === 'lost') this.lose();
    else if (deed === 'refuses') this.refuse(true);
    else if (deed === 'has none') {
      const why = makeField(PROXY_ERROR, 'no ready endpoints for web');
      this.#do((handler) => handler.onInterim(this.#itself, [makeField(':status', '103'), why]));
      this.refuse(true);
    }
  }

  /** As a connection does: an exception ends the stream. */
  #do(what: (handler: StreamHandler) => void): void {
    const handler = this.#handler;
    if (handler === undefined) throw new Error('nothing was sent');
    try {
      what(handler);
    } catch (error) {
      handler.onCaught?.(this.#itself, new ProxyFailure('internal error', String(error)));
    }
  }
}

/** A request for `web`. */
export const request = (method: string, body = false): OutgoingRequest => ({
  method,
  path: '/',
  authority: 'web',
  version: 'HTTP/1.1',
  fields: [],
  framing: body ? { kind: 'chunked' } : NO_BODY,
});

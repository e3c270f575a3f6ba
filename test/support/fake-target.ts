import { PROXY_ERROR } from '../../src/api/linkerd/proxy-fields.ts';
import type { BackendTarget } from '../../src/proxy/group/group-backend.ts';
import { ProxyFailure } from '../../src/proxy/http/failures.ts';
import { makeField } from '../../src/proxy/http/fields.ts';
import {
  NO_BODY,
  type OutgoingRequest,
  type Upstream,
  type UpstreamHandler,
} from '../../src/proxy/http/messages.ts';
import type { Standing } from '../../src/proxy/upstream/session-target.ts';

/** What a target does with a request. With `serves`, `lost` and `answers 500` it has processed it. */
export type Deed =
  | 'serves'
  | 'refuses'
  | 'has none'
  | 'cannot be reached'
  | 'is full'
  | 'lost'
  | 'fails fast'
  | 'answers 500';

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
  readonly #came: Came[];

  /** @param deeds one for each request; the last one is repeated */
  constructor(name: string, came: Came[], deeds: readonly Deed[]) {
    this.name = name;
    this.#came = came;
    this.deeds = [...deeds];
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
    if (deed !== 'refuses' && deed !== 'has none')
      this.#came.push({ backend: this.name, alternatives, body });
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
    const error = makeField(PROXY_ERROR, 'HTTP Balancer service in fail-fast');
    const answer = (status: number, fields = [makeField('x-from', this.name)]) => {
      handler.onResponse({ status, fields, framing: NO_BODY });
      handler.onResponseEnd(undefined);
    };
    if (deed === 'refuses') handler.onFailure(failure(false), true);
    else if (deed === 'has none') {
      handler.onInterimResponse(103, [makeField(PROXY_ERROR, 'no ready endpoints for web')]);
      handler.onFailure(failure(false), true);
    } else if (deed === 'lost') handler.onFailure(failure(true), false);
    else if (deed === 'fails fast') answer(504, [error]);
    else answer(deed === 'answers 500' ? 500 : 200);
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

import type { Dispatcher } from 'undici';
import { sleep } from '../../base/clock.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { type Agents, Connections } from './agents.ts';
import type { ClusterAccess } from './access.ts';
import { type AnswerLimits, ANSWER_LIMITS, isOverLimit, tooSlow } from './answer-limits.ts';
import { warningsOf } from './api-error.ts';
import type { CallOptions, KubeClientOptions } from './client-options.ts';
import { objectLimits, readAnswer, readRefusal } from './read-answer.ts';
import { connectionError, type Method, retryDelay } from './retries.ts';
import { queryString } from '../../api/kubernetes/resource.ts';

/** One request. */
export interface Request extends CallOptions {
  readonly onWarning?: (text: string) => void;
  readonly method: Method;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** Further header fields; none of ours can be replaced. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Reads the answer to a request. Leaving in the middle closes its connection. */
export type Read<R> = (response: Dispatcher.ResponseData, what: string) => Promise<R>;

/**
 * Requests to one API server, whatever they are about (client-go's RESTClient): keep-alive connections of its
 * own, a time-out for every try, bounded and jittered retries, `Retry-After` honoured. Requests that might
 * have been carried out already (a POST whose connection broke) are not repeated.
 */
export class RestClient {
  readonly #access: ClusterAccess;
  readonly #options: KubeClientOptions;
  readonly #connections: Connections;
  readonly limits: AnswerLimits;
  #closed = false;

  constructor(access: ClusterAccess, options: KubeClientOptions) {
    this.#access = access;
    this.#options = options;
    this.limits = { ...ANSWER_LIMITS, ...options.limits };
    this.#connections = new Connections(access, options);
  }

  /** URL of the API server. */
  get server(): string {
    return this.#access.server;
  }

  /** Ends all connections. Requests under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#connections.destroy();
  }

  /** Sends a request until it is answered, it must not be repeated, or its tries are over. */
  async call<R = unknown>(request: Request, read: Read<R> = this.#readObject as Read<R>): Promise<R> {
    const what = `${request.method} ${request.path} at ${this.server}`;
    const { clock, random, maxTries = 4 } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#once(request, what, read);
      } catch (error) {
        if (request.signal?.aborted === true) throw request.signal.reason as Error;
        if (this.#closed) throw error;
        const wait = attempt + 1 < maxTries ? retryDelay(request, error, attempt, random) : undefined;
        if (wait === undefined) throw error;
        await sleep(clock, wait, request.signal);
      }
    }
  }

  /** One try, which ends with its last byte or when its time is over, however steadily the bytes come. */
  async #once<R>(request: Request, what: string, read: Read<R>): Promise<R> {
    const { signal } = request;
    const { ms } = this.limits;
    const ended = new AbortController();
    const forward = () => ended.abort(signal?.reason);
    signal?.addEventListener('abort', forward, { once: true });
    if (signal?.aborted === true) forward();
    const late = this.#options.clock.after(ms, () => ended.abort(tooSlow(what, ms)), { unref: true });
    try {
      return await this.#exchange({ ...request, signal: ended.signal }, what, read);
    } catch (error) {
      if (isOverLimit(ended.signal.reason)) throw ended.signal.reason;
      throw error instanceof LinkspanError ? error : connectionError(error, what);
    } finally {
      late.cancel();
      signal?.removeEventListener('abort', forward);
    }
  }

  async #exchange<R>(request: Request, what: string, read: Read<R>): Promise<R> {
    const response = await this.send('requests', request, what);
    for (const warning of warningsOf(response.headers['warning'])) request.onWarning?.(warning);
    if (response.statusCode >= 300) throw await readRefusal(response, what);
    return read(response, what);
  }

  readonly #readObject: Read<unknown> = (response, what) =>
    readAnswer(response, what, objectLimits(this.limits.bytes));

  async #headers(request: Request): Promise<Record<string, string | string[]>> {
    const { auth, impersonate } = this.#access;
    const authorization = await auth.authorization();
    return {
      ...request.headers,
      accept: 'application/json',
      'user-agent': 'linkspan',
      ...(authorization === undefined ? {} : { authorization }),
      ...(request.body === undefined ? {} : { 'content-type': request.contentType ?? 'application/json' }),
      ...(impersonate === undefined ? {} : { 'impersonate-user': impersonate.user }),
      ...(impersonate === undefined || impersonate.groups.length === 0
        ? {}
        : { 'impersonate-group': [...impersonate.groups] }),
    };
  }

  /**
   * Sends a request once, and once more where other credentials can be had than those that were refused.
   * The answer is not read.
   */
  async send(by: keyof Agents, request: Request, what: string): Promise<Dispatcher.ResponseData> {
    this.#mustBeOpen(what);
    const headers = await this.#headers(request);
    const response = await this.#sendWith(headers, by, request, what);
    if (response.statusCode !== 401 || !this.#renewed(headers['authorization'])) return response;
    // client-go gets other credentials too; the request is sent once more, and the caller need not know.
    await response.body.dump();
    return this.#sendWith(await this.#headers(request), by, request, what);
  }

  /** Requests on connections of a closed client fail by themselves; without any, new ones would be opened. */
  #mustBeOpen(what: string): void {
    if (this.#closed && !this.#connections.begun)
      throw new LinkspanError('KUBE_UNREACHABLE', `${what}: the client is closed`);
  }

  /** Whether other credentials can be had than those that the server has just refused. */
  #renewed(authorization: string | string[] | undefined): boolean {
    const { auth } = this.#access;
    if (auth.renew?.(authorization?.toString()) !== true) return false;
    this.#options.log?.info({ server: this.server }, 'credentials refused, getting others');
    // A connection keeps the client certificate that it began with.
    if (auth.certificate !== undefined && authorization === undefined) this.#connections.replace();
    return true;
  }

  async #sendWith(
    headers: Record<string, string | string[]>,
    by: keyof Agents,
    request: Request,
    what: string,
  ): Promise<Dispatcher.ResponseData> {
    // It may have been closed while credentials were being got: nobody would end new connections.
    this.#mustBeOpen(what);
    this.#options.log?.debug({ method: request.method, path: request.path }, 'request to the API server');
    const url = new URL(this.#access.server);
    const prefix = url.pathname === '/' ? '' : url.pathname;
    try {
      return await this.#connections.of(by).request({
        origin: url.origin,
        path: prefix + request.path + queryString(request.query),
        method: request.method,
        headers,
        // undici would close the connection after each DELETE that has a body; API servers read it.
        reset: false,
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
    } catch (error) {
      throw connectionError(error, what);
    }
  }
}

import type { Dispatcher } from 'undici';
import { sleep } from '../../base/clock.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { MANAGER } from '../../api/names.ts';
import { type Agents, Connections } from './agents.ts';
import type { ClusterAccess } from './access.ts';
import {
  type AnswerLimits,
  ANSWER_LIMITS,
  isOverLimit,
  MAX_LIST_BYTES,
  tooLarge,
  tooSlow,
} from './answer-limits.ts';
import { warningsOf } from './api-error.ts';
import { listPages } from './list-pages.ts';
import {
  anyLimits,
  type ListAnswer,
  objectLimits,
  readAnswer,
  readList,
  readRefusal,
} from './read-answer.ts';
import type {
  CallOptions,
  KubeClientOptions,
  ListOptions,
  ListResult,
  PatchOptions,
  WatchOptions,
} from './client-options.ts';
import { connectionError, type Method, retryDelay } from './retries.ts';
import {
  pathOf,
  queryString,
  type KubeObject,
  type ObjectRef,
  type Resource,
} from '../../api/kubernetes/resource.ts';
import { decodeWatch, type WatchEvent } from './watch.ts';

export {
  isAlreadyExists,
  isConflict,
  isForbidden,
  isGone,
  isNotFound,
  KubeApiError,
  orUndefined,
} from './api-error.ts';
export type {
  KubeClientOptions,
  ListOptions,
  ListResult,
  PatchOptions,
  WatchOptions,
} from './client-options.ts';
export type { WatchEvent } from './watch.ts';

interface Request extends CallOptions {
  readonly onWarning?: (text: string) => void;
  readonly method: Method;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
}

/** Reads the answer to a request. Leaving in the middle closes its connection. */
type Read<R> = (response: Dispatcher.ResponseData, what: string) => Promise<R>;

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  apply: 'application/apply-patch+yaml',
  json: 'application/json-patch+json',
} as const;

/** How long after its announced end a watch may go on before it counts as dead. */
const WATCH_GRACE_MS = 15_000;

/**
 * A client of one API server: keep-alive connections of its own, a time-out for every try, bounded and
 * jittered retries, `Retry-After` honoured. Requests that might have been carried out already (a POST whose
 * connection broke) are not repeated.
 */
export class KubeClient {
  readonly #access: ClusterAccess;
  readonly #options: KubeClientOptions;
  readonly #limits: AnswerLimits;
  readonly #connections: Connections;
  #closed = false;

  constructor(access: ClusterAccess, options: KubeClientOptions) {
    this.#access = access;
    this.#options = options;
    this.#limits = { ...ANSWER_LIMITS, ...options.limits };
    this.#connections = new Connections(access, options);
  }

  /** URL of the API server. */
  get server(): string {
    return this.#access.server;
  }

  async get<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options: CallOptions = {},
  ): Promise<T> {
    return (await this.#call({ method: 'GET', path: pathOf(resource, ref), ...options })) as T;
  }

  /**
   * One page; or everything, page by page, when no limit is given.
   * @throws LinkspanError KUBE_ANSWER_TOO_LARGE, KUBE_ANSWER_TOO_SLOW: a smaller page may fit
   */
  async list<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions<T> = {},
  ): Promise<ListResult<T>> {
    if (options.limit === undefined) return this.#listAll(resource, options);
    const { namespace, signal, labelSelector, fieldSelector, limit, continueToken, resourceVersion, keep } =
      options;
    const path = pathOf(resource, namespace === undefined ? {} : { namespace });
    const query = { labelSelector, fieldSelector, limit, continue: continueToken, resourceVersion };
    const { items, metadata, bytes } = await this.#call<ListAnswer>(
      { method: 'GET', path, query, ...(signal ? { signal } : {}) },
      (response, what) =>
        readList(response, what, this.#limits.bytes, (item) => (keep === undefined ? item : keep(item as T))),
    );
    const next = metadata.continue;
    return {
      items: items as T[],
      bytes,
      resourceVersion: metadata.resourceVersion ?? '',
      ...(next === undefined || next === '' ? {} : { continueToken: next }),
    };
  }

  async #listAll<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions<T>,
  ): Promise<ListResult<T>> {
    const items: T[] = [];
    let resourceVersion = '';
    let used = 0;
    for await (const page of listPages(this, resource, options)) {
      used += page.bytes ?? 0;
      if (used > MAX_LIST_BYTES)
        throw tooLarge(`list ${resource.plural}`, 'pages', 'it is too long', { used, of: MAX_LIST_BYTES });
      for (const item of page.items) items.push(item);
      // A list in pages is a snapshot: every page is of the version that the first one names.
      if (resourceVersion === '') ({ resourceVersion } = page);
    }
    return { items, resourceVersion };
  }

  async create<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: CallOptions = {},
  ): Promise<T> {
    const { namespace } = object.metadata ?? {};
    const path = pathOf(resource, namespace === undefined ? {} : { namespace });
    return (await this.#call({
      method: 'POST',
      path,
      query: { fieldManager: MANAGER },
      body: object,
      ...options,
    })) as T;
  }

  /**
   * Creates under an object: a ServiceAccount's `token` (its answer is the TokenRequest with its status).
   * Nothing is stored, so that it may be tried again.
   */
  async createUnder<T extends KubeObject, B extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    subresource: 'token',
    body: B,
    options: CallOptions = {},
  ): Promise<B> {
    const path = `${pathOf(resource, ref)}/${subresource}`;
    return (await this.#call({ method: 'POST', path, body, ...options })) as B;
  }

  async replace<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: CallOptions = {},
  ): Promise<T> {
    const { namespace, name } = object.metadata ?? {};
    const path = pathOf(resource, { ...(namespace === undefined ? {} : { namespace }), name: name ?? '' });
    return (await this.#call({
      method: 'PUT',
      path,
      query: { fieldManager: MANAGER },
      body: object,
      ...options,
    })) as T;
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    body: unknown,
    options: PatchOptions,
  ): Promise<T> {
    const { type, subresource, force, dryRun, fieldManager = MANAGER, ...call } = options;
    const path = pathOf(resource, ref) + (subresource === undefined ? '' : `/${subresource}`);
    const query = { fieldManager, force, dryRun: dryRun === true ? 'All' : undefined };
    return (await this.#call({
      method: 'PATCH',
      path,
      query,
      body,
      contentType: PATCH_TYPES[type],
      ...call,
    })) as T;
  }

  /** Deletes an object, and only the one that is meant when `uid` or `resourceVersion` is given. */
  async delete<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options: CallOptions & { uid?: string; resourceVersion?: string; dryRun?: boolean } = {},
  ): Promise<T | undefined> {
    const { uid, resourceVersion, dryRun, ...call } = options;
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: 'Background',
      preconditions,
      ...(dryRun === true ? { dryRun: ['All'] } : {}),
    };
    const answer = await this.#call({ method: 'DELETE', path: pathOf(resource, ref), body, ...call });
    const { metadata } = answer as T;
    const held = metadata?.deletionTimestamp !== undefined && (metadata.finalizers ?? []).length > 0;
    return held ? (answer as T) : undefined;
  }

  /**
   * A request to any path, for what has no resource: `/version`, `/readyz`. JSON is parsed, other text comes
   * as it is.
   */
  raw(method: 'GET', path: string, options: CallOptions = {}): Promise<unknown> {
    return this.#call({ method, path, ...options }, (response, what) =>
      readAnswer(response, what, anyLimits(this.#limits.bytes)),
    );
  }

  /**
   * What the server's clock says (`Date` of an answer, in whole seconds), milliseconds since the epoch;
   * undefined where it does not say.
   */
  async serverTime(options: CallOptions = {}): Promise<number | undefined> {
    const request = { method: 'GET', path: '/version', ...options } as const;
    return this.#call(request, async (response) => {
      // Reads the body so that the connection can be used again; one with a longer body is closed instead.
      await response.body.dump({ limit: objectLimits(this.#limits.bytes).bytes });
      const time = Date.parse(String(response.headers['date'] ?? ''));
      return Number.isNaN(time) ? undefined : time;
    });
  }

  /**
   * The events after `resourceVersion`, until the server ends the watch.
   * @throws KubeApiError with status 410 when that version is too old; LinkspanError KUBE_WATCH_BROKEN when
   * the stream is not what it should be
   */
  async *watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>> {
    const { namespace, signal, timeoutSeconds, ...selectors } = options;
    const what = `watch ${resource.plural} at ${this.server}`;
    const query = { ...selectors, watch: true, allowWatchBookmarks: true, timeoutSeconds };
    const path = pathOf(resource, namespace === undefined ? {} : { namespace });
    const dead = new AbortController();
    const deadline = this.#options.clock.after(timeoutSeconds * 1000 + WATCH_GRACE_MS, () => dead.abort(), {
      unref: true,
    });
    const both = signal === undefined ? dead.signal : AbortSignal.any([signal, dead.signal]);
    try {
      const response = await this.#send('watches', { method: 'GET', path, query, signal: both }, what);
      if (response.statusCode !== 200) throw await readRefusal(response, what);
      for await (const event of decodeWatch<T>(response.body, what)) yield event;
    } catch (error) {
      if (error instanceof LinkspanError) throw error;
      if (signal?.aborted === true) throw signal.reason as Error;
      throw new LinkspanError(
        'KUBE_WATCH_BROKEN',
        `${what}: ${dead.signal.aborted ? 'no end when it was due' : messageOf(error)}`,
        { cause: error },
      );
    } finally {
      deadline.cancel();
      dead.abort();
    }
  }

  /** Ends all connections. Requests under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#connections.destroy();
  }

  async #call<R = unknown>(request: Request, read: Read<R> = this.#readObject as Read<R>): Promise<R> {
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
    const { ms } = this.#limits;
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
    const response = await this.#send('requests', request, what);
    for (const warning of warningsOf(response.headers['warning'])) request.onWarning?.(warning);
    if (response.statusCode >= 300) throw await readRefusal(response, what);
    return read(response, what);
  }

  readonly #readObject: Read<unknown> = (response, what) =>
    readAnswer(response, what, objectLimits(this.#limits.bytes));

  async #headers(request: Request): Promise<Record<string, string | string[]>> {
    const { auth, impersonate } = this.#access;
    const authorization = await auth.authorization();
    return {
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

  async #send(by: keyof Agents, request: Request, what: string): Promise<Dispatcher.ResponseData> {
    if (this.#closed && !this.#connections.begun)
      throw new LinkspanError('KUBE_UNREACHABLE', `${what}: the client is closed`);
    const headers = await this.#headers(request);
    const response = await this.#sendWith(headers, by, request, what);
    if (response.statusCode !== 401 || !this.#renewed(headers['authorization'])) return response;
    // client-go gets other credentials too; sent once more, the caller need not know.
    await response.body.dump();
    return this.#sendWith(await this.#headers(request), by, request, what);
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
    const agent = this.#connections.of(by);
    this.#options.log?.debug({ method: request.method, path: request.path }, 'request to the API server');
    const url = new URL(this.#access.server);
    const prefix = url.pathname === '/' ? '' : url.pathname;
    try {
      return await agent.request({
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

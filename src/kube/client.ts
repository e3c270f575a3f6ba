import type { Dispatcher } from 'undici';
import { backoffDelay, type Random } from '../base/backoff.ts';
import { sleep, type Clock } from '../base/clock.ts';
import { LinkspanError, messageOf } from '../base/errors.ts';
import { MANAGER } from '../base/names.ts';
import type { Logger } from '../telemetry/log.ts';
import { type Agents, openAgents } from './agents.ts';
import type { ClusterAccess } from './access.ts';
import { KubeApiError, statusError, warningsOf } from './api-error.ts';
import { pathOf, type KubeObject, type ObjectRef, type Resource } from './resource.ts';
import { decodeWatch, type WatchEvent } from './watch.ts';

export { isAlreadyExists, isConflict, isForbidden, isGone, isNotFound, KubeApiError } from './api-error.ts';
export type { WatchEvent } from './watch.ts';

export interface KubeClientOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: Logger;
  /** Time for one try of one request, milliseconds; default 10 s. Watches have their own. */
  readonly timeoutMs?: number;
  /** Connections for requests, beside those of watches; default 16. */
  readonly maxConnections?: number;
  /** Tries of a request that may be repeated; default 4. */
  readonly maxTries?: number;
}

interface CallOptions {
  readonly signal?: AbortSignal;
}

interface WriteOptions extends CallOptions {
  /** Told of what the API server warns about (its `Warning` headers): deprecated versions, pods that a Pod Security Standard would refuse, … */
  readonly onWarning?: (text: string) => void;
  /** Everything but the writing: the server says whether it would take it. */
  readonly dryRun?: boolean;
  /** Who owns the fields that are written; default `linkspan.dev`. */
  readonly fieldManager?: string;
}

export interface ListOptions extends CallOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continueToken?: string;
  readonly resourceVersion?: string;
}

export interface WatchOptions extends Omit<ListOptions, 'limit' | 'continueToken'> {
  readonly resourceVersion: string;
  /** After how many seconds the server should end the watch; a watch that is still open well after that is dead. */
  readonly timeoutSeconds: number;
}

export interface PatchOptions extends WriteOptions {
  readonly type: 'merge' | 'apply' | 'json';
  readonly subresource?: 'status' | 'approval';
  /** Take over fields of other managers (apply only). */
  readonly force?: boolean;
}

export interface ListResult<T> {
  readonly items: T[];
  readonly resourceVersion: string;
  readonly continueToken?: string;
}

interface Request extends CallOptions {
  readonly onWarning?: (text: string) => void;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
}

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  apply: 'application/apply-patch+yaml',
  json: 'application/json-patch+json',
} as const;

/** How long after its announced end a watch may go on before it counts as dead. */
const WATCH_GRACE_MS = 15_000;

/**
 * A client of one API server: keep-alive connections of its own, a time-out for every try, bounded and jittered retries, `Retry-After` honoured. Requests that might
 * have been carried out already (a POST whose connection broke) are not repeated.
 */
export class KubeClient {
  readonly #access: ClusterAccess;
  readonly #options: KubeClientOptions;
  /** Made for the first request. */
  #agents: Promise<Agents> | undefined;
  #closed = false;

  constructor(access: ClusterAccess, options: KubeClientOptions) {
    this.#access = access;
    this.#options = options;
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

  /** One page, or everything when no limit is given. */
  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<ListResult<T>> {
    const { namespace, signal, labelSelector, fieldSelector, limit, continueToken, resourceVersion } =
      options;
    const path = pathOf(resource, namespace === undefined ? {} : { namespace });
    const query = { labelSelector, fieldSelector, limit, continue: continueToken, resourceVersion };
    const answer = (await this.#call({ method: 'GET', path, query, ...(signal ? { signal } : {}) })) as {
      items?: T[];
      metadata?: { resourceVersion?: string; continue?: string };
    };
    const next = answer.metadata?.continue;
    return {
      items: answer.items ?? [],
      resourceVersion: answer.metadata?.resourceVersion ?? '',
      ...(next === undefined || next === '' ? {} : { continueToken: next }),
    };
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
   * Creates under an object: a ServiceAccount's `token` (its answer is the TokenRequest with its status). Nothing is stored, so that it may be tried again.
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
  ): Promise<void> {
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
    await this.#call({ method: 'DELETE', path: pathOf(resource, ref), body, ...call });
  }

  /** A request to any path, for what has no resource: `/version`, `/readyz`. JSON is parsed, other text comes as it is. */
  raw(method: 'GET', path: string, options: CallOptions = {}): Promise<unknown> {
    return this.#call({ method, path, ...options });
  }

  /** What the server's clock says (`Date` of an answer, in whole seconds), milliseconds since the epoch; undefined where it does not say. */
  async serverTime(options: CallOptions = {}): Promise<number | undefined> {
    const request = { method: 'GET', path: '/version', ...options } as const;
    const response = await this.#send('requests', request, `GET /version at ${this.server}`);
    await response.body.dump();
    const time = Date.parse(String(response.headers['date'] ?? ''));
    return Number.isNaN(time) ? undefined : time;
  }

  /**
   * The events after `resourceVersion`, until the server ends the watch.
   * @throws KubeApiError with status 410 when that version is too old; LinkspanError KUBE_WATCH_BROKEN when the stream is not what it should be
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
      if (response.statusCode !== 200) throw await refusal(response, what);
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
    const agents = await this.#agents;
    await Promise.all([agents?.requests.destroy(), agents?.watches.destroy()]);
  }

  async #call(request: Request): Promise<unknown> {
    const what = `${request.method} ${request.path} at ${this.server}`;
    const { clock, random, maxTries = 4 } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#once(request, what);
      } catch (error) {
        if (request.signal?.aborted === true) throw request.signal.reason as Error;
        if (this.#closed) throw error;
        const wait = attempt + 1 < maxTries ? retryDelay(request, error, attempt, random) : undefined;
        if (wait === undefined) throw error;
        await sleep(clock, wait, request.signal);
      }
    }
  }

  async #once(request: Request, what: string): Promise<unknown> {
    const response = await this.#send('requests', request, what);
    for (const warning of warningsOf(response.headers['warning'])) request.onWarning?.(warning);
    if (response.statusCode >= 300) throw await refusal(response, what);
    let body: string;
    try {
      body = await response.body.text();
    } catch (error) {
      throw connectionError(error, what);
    }
    const json = String(response.headers['content-type'] ?? '').includes('json');
    try {
      return json ? (JSON.parse(body) as unknown) : body;
    } catch (error) {
      throw new LinkspanError('KUBE_GARBLED', `${what}: the answer is not JSON: ${body.slice(0, 80)}`, {
        cause: error,
      });
    }
  }

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
    if (this.#closed && this.#agents === undefined)
      throw new LinkspanError('KUBE_UNREACHABLE', `${what}: the client is closed`);
    this.#agents ??= openAgents(this.#access, this.#options);
    const agent = (await this.#agents)[by];
    const headers = await this.#headers(request);
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

function queryString(query: Request['query']): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== '') parameters.set(key, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

async function refusal(response: Dispatcher.ResponseData, what: string): Promise<KubeApiError> {
  const body = await response.body.text().catch(() => '');
  const retryAfter = response.headers['retry-after'];
  return statusError(response.statusCode, body, what, Array.isArray(retryAfter) ? retryAfter[0] : retryAfter);
}

const TIMEOUTS = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT']);
/** Errors that say that the request never reached the server, so that even a POST may be sent again. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

function connectionError(error: unknown, what: string): LinkspanError {
  const code = (error as { code?: string }).code ?? '';
  const kind = TIMEOUTS.has(code) ? 'KUBE_TIMEOUT' : 'KUBE_UNREACHABLE';
  return new LinkspanError(kind, `${what}: ${messageOf(error)}`, { cause: error, fields: { errno: code } });
}

/** Requests that do no harm when they were carried out already. */
const REPEATABLE: ReadonlySet<Request['method']> = new Set(['GET', 'PUT', 'DELETE']);

/** Milliseconds until the next try, or undefined when there should be none. */
function retryDelay(request: Request, error: unknown, attempt: number, random: Random): number | undefined {
  const delay = backoffDelay(attempt, { minMs: 100, maxMs: 3000 }, random);
  if (error instanceof KubeApiError) {
    // The server says that it did nothing, whatever the method.
    if (error.status === 429) return Math.min(error.retryAfterMs ?? delay, 10_000);
    if (error.status < 500 || request.method === 'POST') return undefined;
    return error.retryAfterMs ?? delay;
  }
  if (!(error instanceof LinkspanError)) return undefined;
  const neverSent = NEVER_SENT.has(String(error.fields['errno']));
  return neverSent || REPEATABLE.has(request.method) ? delay : undefined;
}

import type { Clock } from '../../base/clock.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { MANAGER } from '../../api/names.ts';
import type { ClusterAccess } from './access.ts';
import { MAX_LIST_BYTES, tooLarge } from './answer-limits.ts';
import { listPages } from './list-pages.ts';
import {
  anyLimits,
  type BodyLimits,
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
import { RestClient } from './rest-client.ts';
import { pathOf, type KubeObject, type ObjectRef, type Resource } from '../../api/kubernetes/resource.ts';
import { linesOf } from './lines.ts';
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

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  apply: 'application/apply-patch+yaml',
  json: 'application/json-patch+json',
} as const;

/** How long after its announced end a watch may go on before it counts as dead. */
const WATCH_GRACE_MS = 15_000;

/**
 * A client of one API server: its verbs for resources, watches, and what is asked beside those. How a request
 * is sent, and sent again, is `RestClient`'s.
 */
export class KubeClient {
  readonly #rest: RestClient;
  readonly #clock: Clock;

  constructor(access: ClusterAccess, options: KubeClientOptions) {
    this.#rest = new RestClient(access, options);
    this.#clock = options.clock;
  }

  /** URL of the API server. */
  get server(): string {
    return this.#rest.server;
  }

  async get<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options: CallOptions = {},
  ): Promise<T> {
    return (await this.#rest.call({ method: 'GET', path: pathOf(resource, ref), ...options })) as T;
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
    const { items, metadata, bytes } = await this.#rest.call<ListAnswer>(
      { method: 'GET', path, query, ...(signal ? { signal } : {}) },
      (response, what) =>
        readList(response, what, this.#rest.limits.bytes, (item) =>
          keep === undefined ? item : keep(item as T),
        ),
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
    return (await this.#rest.call({
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
    return (await this.#rest.call({ method: 'POST', path, body, ...options })) as B;
  }

  async replace<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: CallOptions = {},
  ): Promise<T> {
    const { namespace, name } = object.metadata ?? {};
    const path = pathOf(resource, { ...(namespace === undefined ? {} : { namespace }), name: name ?? '' });
    return (await this.#rest.call({
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
    return (await this.#rest.call({
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
    const answer = await this.#rest.call({ method: 'DELETE', path: pathOf(resource, ref), body, ...call });
    const { metadata } = answer as T;
    const held = metadata?.deletionTimestamp !== undefined && (metadata.finalizers ?? []).length > 0;
    return held ? (answer as T) : undefined;
  }

  /**
   * A request to any path, for what has no resource: `/version`, `/readyz`. JSON is parsed, other text comes
   * as it is.
   */
  raw(
    method: 'GET',
    path: string,
    { limits = anyLimits(this.#rest.limits.bytes), ...options }: CallOptions & { limits?: BodyLimits } = {},
  ): Promise<unknown> {
    return this.#rest.call({ method, path, ...options }, (response, what) =>
      readAnswer(response, what, limits),
    );
  }

  /**
   * What the server's clock says (`Date` of an answer, in whole seconds), milliseconds since the epoch;
   * undefined where it does not say.
   */
  async serverTime(options: CallOptions = {}): Promise<number | undefined> {
    const request = { method: 'GET', path: '/version', ...options } as const;
    return this.#rest.call(request, async (response) => {
      // Reads the body so that the connection can be used again; one with a longer body is closed instead.
      await response.body.dump({ limit: objectLimits(this.#rest.limits.bytes).bytes });
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
    const deadline = this.#clock.after(timeoutSeconds * 1000 + WATCH_GRACE_MS, () => dead.abort(), {
      unref: true,
    });
    const both = signal === undefined ? dead.signal : AbortSignal.any([signal, dead.signal]);
    try {
      const response = await this.#rest.send('watches', { method: 'GET', path, query, signal: both }, what);
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

  /**
   * The lines of an answer that goes on for as long as the other side likes, such as a page of a pod.
   * @throws KubeApiError for a refusal; LinkspanError KUBE_WATCH_BROKEN when it breaks off
   */
  async *lines(
    path: string,
    options: CallOptions & { readonly headers?: Readonly<Record<string, string>> } = {},
  ): AsyncGenerator<string> {
    const what = `GET ${path} at ${this.server}`;
    const response = await this.#rest.send('watches', { method: 'GET', path, ...options }, what);
    if (response.statusCode !== 200) throw await readRefusal(response, what);
    try {
      yield* linesOf(response.body, what);
    } catch (error) {
      if (options.signal?.aborted === true) return;
      if (error instanceof LinkspanError) throw error;
      throw new LinkspanError('KUBE_WATCH_BROKEN', `${what}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Ends all connections. Requests under way fail. */
  close(): Promise<void> {
    return this.#rest.close();
  }
}

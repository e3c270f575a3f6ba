import { sleep, type Clock } from '../../base/clock.ts';
import type { ClusterAccess } from './access.ts';
import { KubeApiError } from './api-error.ts';
import {
  KubeClient,
  type KubeClientOptions,
  type ListOptions,
  type ListResult,
  type WatchEvent,
  type WatchOptions,
} from './kube-client.ts';
import {
  namespaces as namespaceKind,
  type KubeObject,
  type Resource,
} from '../../api/kubernetes/resource.ts';

/** The position in a list of several namespaces. */
interface Place {
  /** The namespace, by its index. */
  readonly index: number;
  /** Version of the first page. */
  readonly version?: string;
  /** The continue token there; undefined: at the beginning. */
  readonly token?: string;
}

/** Events that wait to be taken; the watches stand still while there are more. */
const MAX_WAITING = 64;
/** Version of the list of namespaces, which never changes. */
const FIXED_VERSION = '1';

/**
 * A client whose account may look into some namespaces only (RoleBindings, no ClusterRoleBinding). A request
 * for objects of all namespaces gets those of these: lists one after the other, watches side by side. The
 * namespaces themselves are not read: the scope names them.
 *
 * A watch of several namespaces is no single history, so it is never resumed: a watch that went on from an
 * event of one could miss older events of another. Then the answer is "gone" (410), upon which a Reflector
 * lists again.
 */
export class ScopedKubeClient extends KubeClient {
  readonly #scope: readonly string[];
  readonly #clock: Clock;
  /** Versions that lists have given: from there, and from nowhere else, a watch may begin. */
  readonly #begun = new Map<string, string>();

  /** @param scope names of namespaces, at least one */
  constructor(access: ClusterAccess, options: KubeClientOptions, scope: readonly string[]) {
    super(access, options);
    this.#scope = [...new Set(scope)];
    this.#clock = options.clock;
  }

  override async list<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions<T> = {},
  ): Promise<ListResult<T>> {
    if (isNamespaceKind(resource)) return this.#namespaces<T>(options);
    if (!resource.namespaced) return super.list(resource, options);
    // A Reflector that asks whether a history goes on does so in a namespace that every cluster has.
    if (options.namespace === 'default' && !this.#scope.includes('default')) throw gone(resource);
    if (options.namespace !== undefined) return super.list(resource, options);
    // Without a limit all pages are asked for, by this very method.
    return options.limit === undefined ? super.list(resource, options) : this.#page(resource, options);
  }

  override async *watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>> {
    if (isNamespaceKind(resource)) {
      await sleep(this.#clock, options.timeoutSeconds * 1000, options.signal);
      return;
    }
    if (!resource.namespaced || options.namespace !== undefined) {
      yield* super.watch(resource, options);
      return;
    }
    if (this.#begun.get(selectionKey(resource, options)) !== options.resourceVersion) throw gone(resource);
    yield* this.#side(resource, options);
  }

  /**
   * One page of one namespace after the other, so that limits on pages and objects hold for these too: the
   * API server may be another cluster's, and its pages without end.
   */
  async #page<T extends KubeObject>(resource: Resource<T>, options: ListOptions<T>): Promise<ListResult<T>> {
    const { continueToken, ...rest } = options;
    const at: Place = continueToken === undefined ? { index: 0 } : (JSON.parse(continueToken) as Place);
    const from = at.token === undefined ? {} : { continueToken: at.token };
    const namespace = this.#scope[at.index] ?? '';
    const { continueToken: token, ...page } = await super.list(resource, { ...rest, ...from, namespace });
    // The first is the oldest: what happens between the lists comes again as events.
    const resourceVersion = at.version ?? page.resourceVersion;
    const next: Place = { index: token === undefined ? at.index + 1 : at.index, version: resourceVersion };
    if (next.index < this.#scope.length)
      return { ...page, resourceVersion, continueToken: JSON.stringify({ ...next, token }) };
    this.#begun.set(selectionKey(resource, options), resourceVersion);
    return { ...page, resourceVersion };
  }

  /** The events of all namespaces as they come; the end of one watch, good or bad, is the end of all. */
  async *#side<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>> {
    const stop = new AbortController();
    const signal =
      options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
    const queue: WatchEvent<T>[] = [];
    let ended: { readonly error: unknown } | undefined;
    let wake: () => void = () => undefined;
    let room: () => void = () => undefined;
    let free: Promise<void> | undefined;
    const follow = async (namespace: string): Promise<void> => {
      let error: unknown;
      try {
        for await (const event of super.watch(resource, { ...options, namespace, signal })) {
          queue.push(event);
          wake();
          if (queue.length < MAX_WAITING || stop.signal.aborted) continue;
          free ??= new Promise((resolve) => (room = resolve));
          await free;
        }
      } catch (reason) {
        error = reason;
      }
      ended ??= { error };
      wake();
    };
    const all = this.#scope.map(follow);
    try {
      for (;;) {
        const event = queue.shift();
        if (free !== undefined && queue.length < MAX_WAITING) {
          free = undefined;
          room();
        }
        if (event !== undefined) yield event;
        else if (ended === undefined) await new Promise<void>((resolve) => (wake = resolve));
        else if (ended.error === undefined) return;
        else throw ended.error as Error;
      }
    } finally {
      stop.abort(new Error('watch of another namespace ended'));
      room();
      await Promise.all(all);
    }
  }

  #namespaces<T extends KubeObject>({ keep }: ListOptions<T>): ListResult<T> {
    const items = this.#scope.map(
      (name) => ({ metadata: { name, uid: name, resourceVersion: FIXED_VERSION } }) as unknown as T,
    );
    const kept = keep === undefined ? items : items.map(keep).filter((item) => item !== undefined);
    return { items: kept, resourceVersion: FIXED_VERSION };
  }
}

/** A client of all namespaces, or of some. @param scope undefined or empty: all */
export function clientFor(
  access: ClusterAccess,
  options: KubeClientOptions,
  scope?: readonly string[],
): KubeClient {
  return scope === undefined || scope.length === 0
    ? new KubeClient(access, options)
    : new ScopedKubeClient(access, options, scope);
}

function isNamespaceKind({ group, plural }: Pick<Resource<KubeObject>, 'group' | 'plural'>): boolean {
  return group === namespaceKind.group && plural === namespaceKind.plural;
}

function selectionKey(
  { group, plural }: Pick<Resource<KubeObject>, 'group' | 'plural'>,
  { labelSelector = '', fieldSelector = '' }: Pick<ListOptions, 'labelSelector' | 'fieldSelector'>,
): string {
  return [group, plural, labelSelector, fieldSelector].join('\t');
}

function gone({ plural }: Pick<Resource<KubeObject>, 'plural'>): KubeApiError {
  const message = 'a watch of several namespaces begins with a list';
  return new KubeApiError({ status: 410, reason: 'Expired', message }, `watch ${plural}`);
}

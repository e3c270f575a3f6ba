import { isDeepStrictEqual } from 'node:util';
import { keyOf } from '../api/kubernetes/resource.ts';
import { serviceParents } from '../api/routing/route-spec.ts';
import type { Route, RouteParentStatus, WrittenParentRef } from '../api/routing/routing-kinds.ts';
import { isConflict, isForbidden, isNotFound } from '../kube/client/kube-client.ts';
import { Pace } from '../kube/budget/pace.ts';
import { WorkQueue } from '../kube/queue/work-queue.ts';
import type { WatchParts } from '../kube/informer/watched-kind.ts';
import { type ParentVerdict, routeParents } from '../policy/routing/route-status.ts';
import type { RouteSource, RoutingObjects } from './routing-objects.ts';

export interface RouteStatusWriterOptions extends WatchParts {
  readonly objects: Pick<RoutingObjects, 'route' | 'versionOf'>;
  /** As whom it writes; entries of other names are others'. */
  readonly controllerName: string;
}

/** What one Service says of one of its routes. */
export interface RouteWord {
  readonly source: RouteSource;
  /** `namespace/name` of the route. */
  readonly route: string;
  /** `metadata.generation` of what was judged; 0: the object says none. */
  readonly generation: number;
  readonly verdicts: readonly ParentVerdict[];
}

/** A route, and the Services that have said something of it since this process began. */
interface ToldRoute {
  readonly source: RouteSource;
  readonly route: string;
  readonly services: Set<string>;
}

/** What one Service says, by route as `keyOfRoute` has it. */
type Words = ReadonlyMap<string, RouteWord>;
const NO_WORDS: Words = new Map();

/** How long a change waits at most before it is written, milliseconds: replicas do not all write at once. */
const SPREAD_MS = 1000;
/**
 * How long the same status is not written again after somebody has changed it, milliseconds. Two versions of
 * this program that say it in other words would else write for as long as both run.
 */
const AGAIN_MS = 60_000;
const CONCURRENCY = 4;
/** How many statuses are written: who makes thousands of routes does not flood the API server through us. */
const RATE = { perSecond: 20, burst: 50 } as const;
const BACKOFF = { minMs: 500, maxMs: 30_000 } as const;

/**
 * Writes what was decided about routes into their status. Every replica of a gateway does so, and all of them
 * say the same: what is there already is not written, and each write is bound to the version that was judged.
 */
export class RouteStatusWriter {
  readonly #options: RouteStatusWriterOptions;
  readonly #queue: WorkQueue;
  readonly #pace: Pace;
  /** By Service. */
  readonly #words = new Map<string, Words>();
  readonly #told = new Map<string, ToldRoute>();
  readonly #written = new Map<string, { readonly text: string; readonly at: number }>();
  #complained = false;

  constructor(options: RouteStatusWriterOptions) {
    this.#options = options;
    const { clock, random, log } = options;
    this.#pace = new Pace(RATE, clock);
    this.#queue = new WorkQueue({
      handler: (key, signal) => this.#write(key, signal),
      concurrency: CONCURRENCY,
      backoff: BACKOFF,
      pace: this.#pace,
      clock,
      random,
      log,
      // A conflict is the word of another replica: what it wrote is looked at next.
      onError: (_, error) => {
        if (!isConflict(error)) log.warn({ err: error }, 'the status of a route could not be written');
      },
    });
  }

  /** Replaces what a Service says of its routes. */
  set(service: string, said: readonly RouteWord[]): void {
    const former = this.#words.get(service) ?? NO_WORDS;
    const words: Words = new Map(said.map((word) => [keyOfRoute(word.source, word.route), word]));
    if (words.size === 0) this.#words.delete(service);
    else this.#words.set(service, words);
    for (const [key, { source, route }] of new Map([...former, ...words])) {
      if (isDeepStrictEqual(plain(former.get(key)), plain(words.get(key)))) continue;
      const told = this.#told.get(key) ?? { source, route, services: new Set() };
      told.services.add(service);
      this.#told.set(key, told);
      this.#soon(key);
    }
  }

  /** Somebody has written the status of a route, or it has been made anew. */
  changed(source: RouteSource, route: string): void {
    const key = keyOfRoute(source, route);
    if (this.#told.has(key)) this.#soon(key);
  }

  async stop(): Promise<void> {
    await this.#queue.stop();
  }

  #soon(key: string): void {
    this.#queue.addAfter(key, SPREAD_MS * this.#options.random());
  }

  async #write(key: string, signal: AbortSignal): Promise<void> {
    const told = this.#told.get(key);
    const object = told && this.#options.objects.route(told.source, told.route);
    if (told === undefined || object === undefined) return this.#forget(key);
    const generation = object.metadata?.generation ?? 0;
    const words = this.#wordsOf(key, told);
    // It is judged anew within moments: nothing is said of a version that nobody has looked at.
    if (words.some((word) => word.generation !== generation)) return;
    const verdicts = words.flatMap((word) => word.verdicts);
    const parents = routeParents(object.status?.parents ?? [], verdicts, {
      controllerName: this.#options.controllerName,
      generation,
      now: new Date(this.#options.clock.now()).toISOString().replace(/\.\d+Z$/, 'Z'),
      keep: (ref) => isOthers(ref, object, told.services),
    });
    if (parents === undefined) return;
    const text = JSON.stringify([generation, verdicts.map(({ accepted, resolved }) => [accepted, resolved])]);
    const wait = this.#untilAgain(key, text);
    if (wait > 0) return this.#queue.addAfter(key, wait);
    this.#pace.spend(1);
    await this.#patch(told.source, object, parents, signal);
    this.#written.set(key, { text, at: this.#options.clock.monotonic() });
  }

  /** How long the same words are still not written again, milliseconds. */
  #untilAgain(key: string, text: string): number {
    const last = this.#written.get(key);
    return last?.text === text ? AGAIN_MS - (this.#options.clock.monotonic() - last.at) : 0;
  }

  async #patch(
    source: RouteSource,
    { metadata }: Route,
    parents: readonly RouteParentStatus[],
    signal: AbortSignal,
  ): Promise<void> {
    const { client, objects, log } = this.#options;
    const version = objects.versionOf(source);
    if (version === undefined) return;
    const { namespace = '', name = '', resourceVersion } = metadata ?? {};
    const resource = { ...source, version, namespaced: true };
    const patch = { metadata: { resourceVersion }, status: { parents } };
    const how = { type: 'merge', subresource: 'status', signal } as const;
    try {
      await client.patch(resource, { namespace, name }, patch, how);
    } catch (error) {
      if (isNotFound(error)) return;
      if (!isForbidden(error)) throw error;
      if (!this.#complained)
        log.warn({ err: error }, 'the status of routes may not be written, routes are followed');
      this.#complained = true;
    }
  }

  #forget(key: string): void {
    this.#told.delete(key);
    this.#written.delete(key);
  }

  #wordsOf(key: string, { services }: ToldRoute): readonly RouteWord[] {
    return [...services].sort().flatMap((service) => this.#words.get(service)?.get(key) ?? []);
  }
}

/**
 * Whether an entry of ours is that of another gateway of ours, which serves other Services: it is for a
 * parent that the route still has, and of which this process has never said anything.
 */
function isOthers(ref: WrittenParentRef, { spec, metadata }: Route, own: ReadonlySet<string>): boolean {
  const key = keyOf({ namespace: ref.namespace ?? metadata?.namespace ?? '', name: ref.name });
  return (
    !own.has(key) && serviceParents(spec, metadata?.namespace ?? '').some((parent) => keyOf(parent) === key)
  );
}

function keyOfRoute({ plural, group }: RouteSource, route: string): string {
  return `${plural}.${group} ${route}`;
}

/** What is compared: a verdict names its route's object, which is read anew with each version. */
function plain(word: RouteWord | undefined): unknown {
  return word === undefined ? undefined : [word.generation, word.verdicts];
}

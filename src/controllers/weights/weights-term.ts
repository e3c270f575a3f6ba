import { readAnnotation } from '../../api/annotations.ts';
import { type BackendFacts, readBackendFacts } from '../../api/failover/backend-facts.ts';
import { type FailoverFacts, readFacts, writeFacts } from '../../api/failover/failover-facts.ts';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { FAILOVER_BACKEND_FACTS } from '../../api/failover/failover-names.ts';
import { failoverTexts } from '../../api/mirror/failover-texts.ts';
import { isFederated } from '../../api/mirror/federated-members.ts';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import { factsOf } from '../../api/mirror/slice-facts.ts';
import { LOCAL } from '../../api/names.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { isConflict, type KubeClient, orUndefined } from '../../kube/client/kube-client.ts';
import type { WorkQueue } from '../../kube/queue/work-queue.ts';
import { readFailoverPolicy } from '../../policy/failover/failover-policy-text.ts';
import type { WeighedBackend } from '../../policy/failover/weighed-group.ts';
import type { Logger } from '../../telemetry/log.ts';
import { FactsKeeper, type PublishedFacts } from '../failover/published-facts.ts';
import type { FailoverBook } from '../failover/failover-book.ts';
import type { LocalView } from '../reconcile/local-view.ts';
import { LinkerdFailover } from './linkerd-failover.ts';
import { LocalBackends } from './local-backends.ts';
import { Overwriting } from './overwriting.ts';
import {
  type ListedBackend,
  readLists,
  type WeightedObject,
  weightsWriter,
} from '../../policy/weights/weighted-object.ts';
import type { FoundObject, WeightedObjects } from './weighted-objects.ts';
import { type DrainsOfCluster, SubjectDrains } from './subject-drains.ts';
import { PacedWrites, rampPauseMs } from './paced-writes.ts';
import { WeightsBook } from './weights-book.ts';
import { WeightsNews, type WeightsNewsOptions } from './weights-news.ts';
import type { WeightsPatch } from '../../policy/weights/weights-patch.ts';
import { weightsPatch } from './weights-plan.ts';
import {
  controllerOf,
  LINKERD_CONTROLLER,
  OUR_CONTROLLER,
  isWrittenOver,
  WEIGHTS_MANAGER,
  type WeightsFacts,
  weightsVerdict,
  type WeightsVerdict,
} from './weights-verdict.ts';

/** What a term of the writer works with. */
export interface WeightsTermOptions extends WeightsNewsOptions {
  readonly client: KubeClient;
  readonly objects: WeightedObjects;
  /** The mirrors and their slices. */
  readonly view: LocalView;
  readonly clusterDomain: string;
  /** What metrics are made of. */
  readonly book: Pick<FailoverBook, 'note' | 'release'>;
  /** The drains of a cluster, as Links say. */
  readonly drainsOf: (cluster: string) => readonly FailoverDrain[] | undefined;
  /** Values of the label that are ours, beside `linkspan`. */
  readonly controllers: readonly string[];
  readonly scoped: boolean;
  /** As `LinkerdFailoverOptions.lookMs`. */
  readonly lookMs?: number | undefined;
  /** Ends the term. */
  readonly signal: AbortSignal;
  /** Of ids of objects. */
  readonly queue: Pick<WorkQueue, 'add' | 'addAfter'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Objects that are looked at in one turn of the event loop, at most. */
const LOOKS_PER_TURN = 20;
/** After a conflict: what somebody else has written comes by the watch in that time. */
const CONFLICT_MS = 200;

/** What is known of the backends of one object. */
interface Backends {
  /** By `namespace/name`. */
  readonly known: ReadonlyMap<string, WeighedBackend>;
  /** Of those that are Services of this cluster, by name. */
  readonly local: BackendFacts;
  /** When facts change by time alone. */
  readonly againMs: number | undefined;
}

/** The work of one term of the writer of weights: from taking the Lease to losing it. */
export class WeightsTerm {
  readonly #options: WeightsTermOptions;
  readonly #keeper: FactsKeeper;
  readonly #news: WeightsNews;
  readonly #book: WeightsBook;
  readonly #overwriting = new Overwriting();
  readonly #paced = new PacedWrites();
  readonly #controllers: ReadonlySet<string>;
  readonly #local: LocalBackends;
  readonly #subjects: SubjectDrains;
  readonly #linkerd: LinkerdFailover;
  /**
   * Backends of each object that are Services of this cluster, and how many objects of a namespace have any.
   */
  readonly #watched = new Map<string, ReadonlySet<string>>();
  readonly #namespaces = new Map<string, number>();
  #looks = 0;
  #following: Promise<void> = Promise.resolve();

  constructor(options: WeightsTermOptions) {
    this.#options = options;
    const { client, clock, random, log, objects, signal, controllers } = options;
    this.#keeper = new FactsKeeper(clock);
    this.#news = new WeightsNews(options);
    this.#book = new WeightsBook(options.book);
    this.#controllers = new Set([OUR_CONTROLLER, ...controllers]);
    this.#local = new LocalBackends(
      { client, clock, random, log },
      {
        onService: (service) => this.serviceChanged(service),
        onNamespace: (namespace) => this.#addAllOf(namespace),
      },
    );
    this.#subjects = new SubjectDrains({ client, clock, random, log }, (namespace) =>
      this.#addAllOf(namespace),
    );
    this.#linkerd = new LinkerdFailover({
      client,
      clock,
      signal,
      wanted: () => !options.scoped && objects.ids().some((id) => this.#isLinkerds(objects.get(id))),
      onChange: () => this.#addAll(),
      onFailure: (code) => log.warn({ code }, 'whether linkerd-failover runs is not known'),
      lookMs: options.lookMs,
    });
  }

  /** Looks at all of them again. */
  resync(): void {
    this.#addAll();
  }

  start(): void {
    this.#following = this.#linkerd.follow();
    this.#addAll();
  }

  /** After the signal has aborted and the queue has ended. */
  async stop(): Promise<void> {
    this.#book.close();
    await this.#following;
    await Promise.all([this.#local.stop(), this.#subjects.stop()]);
  }

  /** A Service (`namespace/name`), its endpoints or its facts have changed. */
  serviceChanged(service: string): void {
    for (const id of this.#options.objects.idsOf(service)) this.#options.queue.add(id);
  }

  /** Makes an object what its verdict says. */
  async look(id: string): Promise<void> {
    const { objects, clock, queue } = this.#options;
    // A change of one Service can concern thousands of objects, and Leases want to be renewed meanwhile.
    if (++this.#looks % LOOKS_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    const found = objects.get(id);
    const resource = found?.watched.resource;
    if (found === undefined || resource === undefined) {
      this.#forget(id);
      return;
    }
    const { kind, object } = found;
    const now = clock.now();
    const saidOf = this.#drainsSaid(found);
    // Whether its Service drains a cluster is not known yet: without that, weights would jump back.
    if (saidOf === undefined) return;
    const { known, local, againMs } = this.#backendsOf(id, found, saidOf);
    const facts = this.#factsOf(id, found, known, now);
    const verdict = weightsVerdict({ ...facts, now });
    this.#book.note(id, kind, object, verdict);
    const patchFor = (of: WeightsVerdict) => weightsPatch(kind, object, of, local);
    const patch = patchFor(verdict);
    if (patch !== undefined && verdict.action === 'write') {
      const wouldWrite = (then: number) => patchFor(weightsVerdict({ ...facts, now: then })) !== undefined;
      const waitMs = this.#paced.waitMs(id, { now, rampMs: verdict.rampMs }, wouldWrite);
      if (waitMs !== undefined) return queue.addAfter(id, Math.min(waitMs, againMs ?? waitMs));
    }
    if (patch !== undefined) {
      if (!(await this.#write(id, found, patch))) return queue.addAfter(id, CONFLICT_MS);
      this.#paced.wrote(id, now);
    }
    this.#news.tell(id, resource, object, verdict);
    this.#lookAgain(id, [againMs, untilNext(verdict, now), this.#overwriting.forgottenIn(id, now)]);
  }

  /** After the shortest of these times, milliseconds. */
  #lookAgain(id: string, times: readonly (number | undefined)[]): void {
    const waits = times.filter((ms) => ms !== undefined);
    if (waits.length > 0) this.#options.queue.addAfter(id, Math.min(...waits));
  }

  /** All that decides about an object but the time. */
  #factsOf(
    id: string,
    { kind, object }: FoundObject,
    known: Backends['known'],
    now: number,
  ): Omit<WeightsFacts, 'now'> {
    const { clusterDomain } = this.#options;
    const writer = weightsWriter(kind, object);
    const isOthers = writer !== undefined && writer !== WEIGHTS_MANAGER;
    return {
      kind,
      object,
      clusterDomain,
      controllers: this.#controllers,
      linkerdFailover: this.#linkerd.runs,
      backendOf: (service) => known.get(service) ?? {},
      overwritten: this.#overwriting.times(id, {
        version: object.metadata?.resourceVersion ?? '',
        others: isOthers && isWrittenOver(kind, object, clusterDomain),
        now,
      }),
    };
  }

  /** @returns false where the object is not the one any more that was decided about */
  async #write(id: string, { watched, object }: FoundObject, patch: WeightsPatch): Promise<boolean> {
    const { client, signal, log } = this.#options;
    const { resource } = watched;
    const { namespace = '', name = '' } = object.metadata ?? {};
    if (resource === undefined) return false;
    const how = { type: 'merge', fieldManager: WEIGHTS_MANAGER, signal } as const;
    try {
      const written = await orUndefined(client.patch(resource, { namespace, name }, patch, how));
      if (written !== undefined && patch.spec !== undefined)
        this.#overwriting.wrote(id, written.metadata?.resourceVersion ?? '');
    } catch (error) {
      if (!isConflict(error)) throw error;
      return false;
    }
    if (patch.spec !== undefined) log.info({ object: id }, 'weights written');
    return true;
  }

  /** The drains of the Services that an object is about; undefined: not known yet. */
  #drainsSaid({ kind, object }: FoundObject): DrainsOfCluster | undefined {
    if (controllerOf(object) === undefined) return () => [];
    return this.#subjects.of(kind, object, this.#options.clusterDomain);
  }

  #backendsOf(id: string, { kind, object }: FoundObject, saidOf: DrainsOfCluster): Backends {
    const known = new Map<string, WeighedBackend>();
    const local = new Map<string, FailoverFacts>();
    const watched = new Set<string>();
    let againMs = Number.POSITIVE_INFINITY;
    const isOurs = controllerOf(object) !== undefined;
    const { lists } = isOurs ? readLists(kind, object, this.#options.clusterDomain) : { lists: [] };
    for (const backend of lists.flatMap(({ backends }) => backends)) {
      const { name, service } = backend;
      if (known.has(service)) continue;
      const mirror = this.#mirror(service, saidOf);
      if (mirror !== undefined) {
        known.set(service, mirror);
        continue;
      }
      const seen = this.#see(id, object, backend);
      const facts = readFacts(seen.text);
      watched.add(service);
      known.set(service, { facts, drains: saidOf(LOCAL) });
      if (facts !== undefined) local.set(name, facts);
      againMs = Math.min(againMs, seen.againMs ?? againMs);
    }
    this.#watch(id, watched);
    return { known, local, againMs: againMs === Number.POSITIVE_INFINITY ? undefined : againMs };
  }

  /** What is known of a mirror; undefined: it is none. */
  #mirror(service: string, saidOf: DrainsOfCluster): WeighedBackend | undefined {
    const { view, drainsOf } = this.#options;
    const mirror = view.stores.services.get(service);
    if (mirror === undefined) return undefined;
    const [namespace = '', name = ''] = service.split('/');
    const facts = factsOf(view.slices(namespace, name));
    // The clusters of a federated one divide their part by drains of its own.
    if (isFederated(mirror)) return { facts, drains: drainsOf(clusterOf(mirror) ?? '') };
    const cluster = clusterOf(mirror) ?? '';
    return { facts, drains: [...(drainsOf(cluster) ?? []), ...saidOf(cluster)] };
  }

  /** Folds what is seen of a Service of this cluster into its facts. */
  #see(id: string, { metadata }: WeightedObject, { name, service }: ListedBackend): PublishedFacts {
    const { annotations } = metadata ?? {};
    const there = readBackendFacts(readAnnotation(annotations, FAILOVER_BACKEND_FACTS)).get(name);
    const { policy } = readFailoverPolicy(failoverTexts(annotations).policy);
    return this.#keeper.see(keptKey(id, service), {
      sighting: this.#local.of(service),
      rules: { ...policy, stated: policy.expected.get(name) },
      there: there === undefined ? undefined : writeFacts(there),
    });
  }

  #isLinkerds(found: FoundObject | undefined): boolean {
    const controller = found === undefined ? undefined : controllerOf(found.object);
    return controller === LINKERD_CONTROLLER && !this.#controllers.has(LINKERD_CONTROLLER);
  }

  #addAll(): void {
    const { objects, queue } = this.#options;
    for (const id of objects.ids()) queue.add(id);
  }

  /** Those that may have a backend in a namespace: none leads to another's. */
  #addAllOf(namespace: string): void {
    const { objects, queue } = this.#options;
    for (const id of objects.idsIn(namespace)) queue.add(id);
  }

  /** Which Services of this cluster an object needs to know of; of others no more is kept. */
  #watch(id: string, services: ReadonlySet<string>): void {
    const before = this.#watched.get(id) ?? new Set();
    for (const service of before) if (!services.has(service)) this.#keeper.forget(keptKey(id, service));
    if (services.size === 0) this.#watched.delete(id);
    else this.#watched.set(id, services);
    this.#count(namespacesOf(services), 1);
    this.#count(namespacesOf(before), -1);
  }

  #count(namespaces: ReadonlySet<string>, more: 1 | -1): void {
    for (const namespace of namespaces) {
      const count = (this.#namespaces.get(namespace) ?? 0) + more;
      if (count > 0) this.#namespaces.set(namespace, count);
      else this.#namespaces.delete(namespace);
      if (count <= 0) this.#local.end(namespace);
    }
  }

  #forget(id: string): void {
    const [, , namespace = ''] = id.split('/');
    if (this.#options.objects.idsIn(namespace).length === 0) this.#subjects.end(namespace);
    this.#watch(id, new Set());
    this.#overwriting.forget(id);
    this.#paced.forget(id);
    this.#news.forget(id);
    this.#book.forget(id);
  }
}

function namespacesOf(services: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...services].map((service) => service.split('/')[0] ?? ''));
}

/** The same Service may be expected to have other endpoints by another object's policy. */
function keptKey(id: string, service: string): string {
  return `${id}|${service}`;
}

/** When weights are to be written next because of time alone, milliseconds from now. */
function untilNext(verdict: WeightsVerdict, now: number): number | undefined {
  if (verdict.action !== 'write' || verdict.nextChangeAt === undefined) return undefined;
  return Math.max(rampPauseMs(verdict.rampMs), verdict.nextChangeAt - now);
}

import type { V1ObjectReference, V1Service } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import { readAnnotation } from '../../api/annotations.ts';
import { type FailoverDrain, readDrain } from '../../api/failover/failover-drain.ts';
import { FAILOVER_DRAIN } from '../../api/failover/failover-names.ts';
import type { DrainEvent, FailoverReason } from '../../api/failover/failover-reasons.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import { type LinkObject, links as linkResource } from '../../api/link/link-schema.ts';
import { isFederated, memberClusters } from '../../api/mirror/federated-members.ts';
import { serviceDrain } from '../../api/mirror/service-drain.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { takenAwayProblems } from '../../discovery/failover-links.ts';
import type { EventRecorder } from '../../kube/events/event-recorder.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import { backendName } from '../../policy/failover/federated-group.ts';
import { describedDrain } from '../../policy/failover/drain-words.ts';

/** What is watched, and who tells. */
export interface DrainWatchOptions {
  readonly links: IndexedStore<LinkObject>;
  /** Services that mirroring made. */
  readonly services: IndexedStore<V1Service>;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly clock: Clock;
  /** Whether this replica is the one that tells of a Link, by its key. */
  readonly tellsOfLink: (key: string) => boolean;
  /** The same of a federated Service. */
  readonly tellsOfService: (key: string) => boolean;
}

/** A drain, and the object that it stands on. */
interface Standing {
  readonly drain: FailoverDrain;
  /** What is drained, for people. */
  readonly what: string;
  readonly regarding: V1ObjectReference;
  /** Whether the target's gateway asks for it; otherwise somebody has written it here, and told so. */
  readonly asked: boolean;
  readonly tells: () => boolean;
}

/** How far the clock of whoever ends a drain may be from ours, milliseconds. */
const SKEW_MS = 30_000;
/** Longest time that a timer is set for, milliseconds: the system's clock may be set meanwhile. */
const MAX_WAIT_MS = 3_600_000;

/**
 * Tells by Events what becomes of drains without anybody's word here: that one has come to its end, and that
 * a target's gateway asks for one, or no more; and that one on a Link is wrong. What `linkspan` writes here
 * it tells itself (`src/drains`). What stood there when this replica began is no news.
 */
export class DrainWatch {
  readonly #options: DrainWatchOptions;
  readonly #standing = new Map<string, { readonly it: Standing; readonly timer: Timer | undefined }>();
  /** Which drains an object had, by its key. */
  readonly #ofObject = new Map<string, readonly string[]>();
  /** What is wrong with what somebody has written on a Link, by its key. */
  readonly #wrong = new Map<string, string>();
  readonly #unsubscribe: readonly (() => void)[];

  constructor(options: DrainWatchOptions) {
    this.#options = options;
    const { links, services } = options;
    for (const link of links.list()) {
      this.#link(link, true);
      this.#wrong.set(keyOf(link), problemsOf(link));
    }
    for (const service of services.list()) this.#service(service, true);
    this.#unsubscribe = [
      links.subscribe('drains: Links', ({ type, object, previous }) => {
        this.#link(object, previous === undefined, type === 'deleted');
        this.#tellWrong(object, type === 'deleted');
      }),
      services.subscribe('drains: Services', ({ type, object, previous }) =>
        this.#service(object, previous === undefined, type === 'deleted'),
      ),
    ];
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    for (const { timer } of this.#standing.values()) timer?.cancel();
    this.#standing.clear();
  }

  #link(link: LinkObject, isFirst: boolean, gone = false): void {
    const { metadata, spec, status } = link;
    const key = keyOf(link);
    const regarding = linkReference(link);
    const what =
      typeof spec?.targetClusterName === 'string' ? spec.targetClusterName : (metadata?.name ?? '');
    const standing = new Map<string, Standing>();
    for (const [asked, text] of [
      [false, readAnnotation(metadata?.annotations, FAILOVER_DRAIN)],
      [true, status?.gatewayDrain],
    ] as const) {
      const drain = gone ? undefined : readDrain(text);
      const tells = () => this.#options.tellsOfLink(key);
      if (drain !== undefined) standing.set(`link ${key} ${asked}`, { drain, what, regarding, asked, tells });
    }
    this.#see(`link ${key}`, standing, { isFirst, gone });
  }

  /**
   * A drain by hand that is wrong does nothing, which whoever wrote it is told on the Link, once. The
   * conditions of its Services say it as long as it stands there.
   */
  #tellWrong(link: LinkObject, gone: boolean): void {
    const key = keyOf(link);
    const message = gone ? '' : problemsOf(link);
    if (message === (this.#wrong.get(key) ?? '')) return;
    if (message === '') this.#wrong.delete(key);
    else this.#wrong.set(key, message);
    const { events, tellsOfLink } = this.#options;
    if (message === '' || !tellsOfLink(key)) return;
    events.record({
      regarding: linkReference(link),
      type: 'Warning',
      reason: 'AnnotationInvalid' satisfies FailoverReason,
      message,
    });
  }

  #service(service: V1Service, isFirst: boolean, gone = false): void {
    const key = keyOf(service);
    const members = gone || !isFederated(service) ? [] : memberClusters(service).map(backendName);
    const standing = standingOn(service, members, () => this.#options.tellsOfService(key));
    this.#see(`service ${key}`, standing, { isFirst, gone });
  }

  /**
   * Takes in the drains of a user's Service that leads elsewhere, as whoever writes its conditions sees it.
   * @param clusters those to which its backends lead
   * @param tells whether that is still this replica
   */
  apex(service: V1Service, clusters: ReadonlySet<string>, tells: () => boolean): void {
    const standing = standingOn(service, [...clusters].sort(), tells);
    this.#see(`service ${keyOf(service)}`, standing, { isFirst: false, gone: false });
  }

  /** A user's Service leads nowhere any more. */
  apexGone(key: string): void {
    this.#see(`service ${key}`, new Map(), { isFirst: false, gone: true });
  }

  /** Takes in the drains of one object. */
  #see(
    object: string,
    standing: ReadonlyMap<string, Standing>,
    { isFirst, gone }: { readonly isFirst: boolean; readonly gone: boolean },
  ): void {
    for (const id of this.#ofObject.get(object) ?? [])
      if (!standing.has(id)) {
        const before = this.#standing.get(id);
        before?.timer?.cancel();
        this.#standing.delete(id);
        // With the object goes whoever could be told.
        if (!gone && before !== undefined && this.#isOn(before.it.drain))
          this.#tell(before.it, 'DrainDone', `the drain of ${before.it.what} has been taken away`);
      }
    if (standing.size === 0) this.#ofObject.delete(object);
    else this.#ofObject.set(object, [...standing.keys()]);
    for (const [id, it] of standing) this.#seeOne(id, it, isFirst);
  }

  #seeOne(id: string, it: Standing, isFirst: boolean): void {
    const { drain } = it;
    const before = this.#standing.get(id);
    if (before !== undefined && isDeepStrictEqual(before.it.drain, drain)) return;
    before?.timer?.cancel();
    const { begins, isOn, isEnded } = this.#change(before?.it.drain, drain);
    this.#standing.set(id, { it, timer: isOn ? this.#timer(id, drain) : undefined });
    if (it.asked && !isFirst) this.#tellAsked(it, { begins, isEnded });
  }

  /** What is another with a drain: whether it lasts, has begun, or was ended by somebody. */
  #change(before: FailoverDrain | undefined, drain: FailoverDrain) {
    const ends = before !== undefined && this.#isOn(before) ? before.until : undefined;
    const isEnded = ends !== undefined && drain.until < ends && this.#isAbout(drain.until);
    const isOn = this.#isOn(drain) && !isEnded;
    return { begins: isOn && ends === undefined, isOn, isEnded };
  }

  #tellAsked(it: Standing, { begins, isEnded }: { begins: boolean; isEnded: boolean }): void {
    if (begins) this.#tell(it, 'DrainStarted', `its gateway asks for it: ${describedDrain(it.drain)}`);
    else if (isEnded) this.#tell(it, 'DrainDone', `the gateway of ${it.what} asks to be drained no longer`);
  }

  #isOn({ until }: FailoverDrain): boolean {
    return this.#options.clock.now() < until;
  }

  #isAbout(time: number): boolean {
    return time <= this.#options.clock.now() + SKEW_MS;
  }

  #timer(id: string, { until }: FailoverDrain): Timer {
    const { clock } = this.#options;
    const wait = Math.min(MAX_WAIT_MS, until - clock.now());
    return clock.after(wait, () => this.#due(id), { unref: true });
  }

  #due(id: string): void {
    const found = this.#standing.get(id);
    if (found === undefined) return;
    const { it } = found;
    if (this.#isOn(it.drain)) {
      this.#standing.set(id, { it, timer: this.#timer(id, it.drain) });
      return;
    }
    this.#standing.set(id, { it, timer: undefined });
    this.#tell(it, 'DrainDone', `the drain of ${it.what} has come to its end; its share comes back`);
  }

  #tell({ regarding, tells }: Standing, reason: DrainEvent, message: string): void {
    if (tells()) this.#options.events.record({ regarding, type: 'Normal', reason, message });
  }
}

function problemsOf({ metadata }: LinkObject): string {
  return takenAwayProblems(metadata?.annotations).join('\n');
}

function linkReference({ metadata }: LinkObject): V1ObjectReference {
  const { namespace, name, uid } = metadata ?? {};
  return {
    ...reference({ namespace, name, uid }),
    apiVersion: `${linkResource.group}/${linkResource.version}`,
    kind: linkResource.kind,
  };
}

function reference(
  parts: Readonly<Record<'namespace' | 'name' | 'uid', string | undefined>>,
): V1ObjectReference {
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined));
}

/** The drains of one Service, by names of their own. */
function standingOn(
  service: V1Service,
  clusters: readonly string[],
  tells: () => boolean,
): Map<string, Standing> {
  const key = keyOf(service);
  const { namespace, name, uid } = service.metadata ?? {};
  const regarding = { ...reference({ namespace, name, uid }), apiVersion: 'v1', kind: 'Service' };
  const found = new Map<string, Standing>();
  for (const cluster of clusters) {
    const drain = serviceDrain(service.metadata?.annotations, cluster);
    if (drain === undefined) continue;
    found.set(`service ${key} ${cluster}`, {
      drain,
      what: `${cluster} in ${key}`,
      regarding,
      asked: false,
      tells,
    });
  }
  return found;
}

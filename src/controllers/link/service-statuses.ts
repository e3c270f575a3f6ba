import type { ServiceStatus } from '../../api/link/link-status.ts';
import { SERVICE_MIRROR } from '../../api/names.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { countsAsMirrored, type MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import type { Outcome } from '../reconcile/reconciler.ts';

/**
 * Most entries of one list in a Link's status. An entry takes about 350 bytes and etcd refuses objects over
 * 1.5 MiB, so that the lists of thousands of Services are cut: Services that are not mirrored come first, and
 * `mirrorCount` and the conditions count all.
 */
export const MAX_LISTED = 500;

/** Linkerd's messages for reasons that Linkerd has too. */
const LINKERD_MESSAGES: Partial<Record<MirrorReason, string>> = {
  MissingNamespace: 'Namespace does not exist',
};

/** A Service of the target, and in which of the two lists it is. */
export interface ServiceKey {
  /** `namespace/name`. */
  readonly key: string;
  /** Whether it is its membership in a federated Service rather than its mirror. */
  readonly federated: boolean;
}

/**
 * `status.mirrorServices` or `status.federatedServices` in Linkerd's shape: one condition `Mirrored` for each
 * Service, those that are not mirrored first. Only entries of marked keys are worked out again; an entry
 * whose reason is the same keeps its `lastTransitionTime`.
 */
export class ServiceStatusList {
  /**
   * The keys of all Services that may have an entry, sorted: those that are not mirrored, and those that are.
   */
  readonly #ranked: readonly [trouble: string[], mirrored: string[]] = [[], []];
  /** The entries of the last list. */
  #entries = new Map<string, ServiceStatus>();
  #list: readonly ServiceStatus[] = [];
  readonly #changed: Set<string>;
  /** The entries that an earlier process has written; undefined once the first list has been worked out. */
  #before: ReadonlyMap<string, ServiceStatus> | undefined;

  /** @param before the list as the status has it now */
  constructor(outcomes: ReadonlyMap<string, Outcome>, before: readonly ServiceStatus[] | undefined) {
    this.#changed = new Set(outcomes.keys());
    this.#before = new Map((before ?? []).map((entry) => [keyOf(entry.remoteRef), entry]));
  }

  /** The outcome of a key has changed. */
  mark(key: string): void {
    this.#changed.add(key);
  }

  /** The list; the same one as before where nothing was marked. */
  of(outcomes: ReadonlyMap<string, Outcome>): readonly ServiceStatus[] {
    if (this.#changed.size === 0 && this.#before === undefined) return this.#list;
    const stale = this.#rank(outcomes);
    const [trouble, mirrored] = this.#ranked;
    const room = Math.max(0, MAX_LISTED - trouble.length);
    const listed = [...trouble.slice(0, MAX_LISTED), ...mirrored.slice(0, room)];
    const entries = new Map<string, ServiceStatus>();
    for (const key of listed) {
      const before = this.#entries.get(key) ?? this.#before?.get(key);
      const outcome = outcomes.get(key);
      if (outcome === undefined) continue;
      const isWorkedOut = this.#entries.has(key) && !stale.has(key);
      entries.set(
        key,
        isWorkedOut && before !== undefined ? before : sinceBefore(statusOf(key, outcome), before),
      );
    }
    this.#entries = entries;
    this.#before = undefined;
    this.#list = [...entries.values()];
    return this.#list;
  }

  /** Puts the marked keys where they belong in `#ranked`. @returns the marked keys */
  #rank(outcomes: ReadonlyMap<string, Outcome>): ReadonlySet<string> {
    const changed = new Set(this.#changed);
    this.#changed.clear();
    const many = changed.size > MAX_INSERTED;
    for (const [at, keys] of this.#ranked.entries()) {
      const wanted = (key: string) => {
        const outcome = outcomes.get(key);
        return outcome !== undefined && outcome.reason !== 'NotSynced' && rank(outcome) === at;
      };
      if (many) {
        const kept = keys.filter((key) => !changed.has(key));
        keys.length = 0;
        for (const key of [...kept, ...[...changed].filter(wanted)].sort()) keys.push(key);
      } else for (const key of changed) place(keys, key, wanted(key));
    }
    return changed;
  }
}

/** With more changes than this at once, sorting is less work than inserting. */
const MAX_INSERTED = 100;

/** Adds a key to a sorted list, or removes it. */
function place(sorted: string[], key: string, wanted: boolean): void {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  const isThere = sorted[low] === key;
  if (wanted && !isThere) sorted.splice(low, 0, key);
  if (!wanted && isThere) sorted.splice(low, 1);
}

/** The entry, with the `lastTransitionTime` of an earlier one that has the same status and reason. */
function sinceBefore(entry: ServiceStatus, before: ServiceStatus | undefined): ServiceStatus {
  const [condition] = entry.conditions ?? [];
  const old = before?.conditions?.[0];
  if (condition === undefined || old?.status !== condition.status || old.reason !== condition.reason)
    return entry;
  return { ...entry, conditions: [{ ...condition, lastTransitionTime: old.lastTransitionTime }] };
}

function rank({ reason }: Outcome): number {
  return countsAsMirrored(reason) ? 1 : 0;
}

function statusOf(key: string, { reason, message, local, since }: Outcome): ServiceStatus {
  const { namespace, name } = parseKey(key);
  const ref = { group: 'core', kind: 'Service', namespace };
  const mirrored = countsAsMirrored(reason);
  const text = LINKERD_MESSAGES[reason] ?? message;
  return {
    controllerName: SERVICE_MIRROR,
    remoteRef: { ...ref, name },
    conditions: [
      {
        type: 'Mirrored',
        status: mirrored ? 'True' : 'False',
        reason,
        message: text,
        lastTransitionTime: new Date(since).toISOString().replace(/\.\d+Z$/, 'Z'),
        ...(mirrored ? { localRef: { ...ref, name: local } } : {}),
      },
    ],
  };
}

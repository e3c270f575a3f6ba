import type { ServiceStatus } from '../../api/link/link-status.ts';
import { SERVICE_MIRROR } from '../../api/names.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { countsAsMirrored, type MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import type { Outcome } from '../reconcile/reconciler.ts';

/**
 * Entries of one list of a Link's status. An entry takes about 350 bytes and etcd refuses objects over 1.5
 * MiB, so the lists of thousands of Services are cut: those in trouble come first, and `mirrorCount` and the
 * conditions count them all.
 */
export const MAX_LISTED = 500;

/** Linkerd's own words for reasons that it has too. */
const LINKERD_MESSAGES: Partial<Record<MirrorReason, string>> = {
  MissingNamespace: 'Namespace does not exist',
};

/** A Service of the target, as one of the lists has it. */
export interface ServiceKey {
  /** `namespace/name`. */
  readonly key: string;
  /** Whether it is its membership in a federated Service rather than its mirror. */
  readonly federated: boolean;
}

/**
 * `status.mirrorServices` or `status.federatedServices` in Linkerd's shape: one condition `Mirrored` for each
 * Service, those in trouble first. Works out the entries of those alone that something has changed about;
 * one that says what it said before keeps the time at which it began to say it.
 */
export class ServiceStatusList {
  /** Keys of those that have an entry or would have one, were there room: in trouble, and mirrored. */
  readonly #ranked: readonly [trouble: string[], mirrored: string[]] = [[], []];
  /** Entries of the list as it was worked out last. */
  #entries = new Map<string, ServiceStatus>();
  #list: readonly ServiceStatus[] = [];
  readonly #changed: Set<string>;
  /** What the status said before the first list was worked out: an earlier process' words. */
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

  /** Puts the keys that have changed where they belong. @returns them */
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

/** With more changes than this at once, sorting anew is less work than inserting. */
const MAX_INSERTED = 100;

/** Has a sorted list hold a key, or not. */
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

/** An entry that says what another one said keeps its time. */
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

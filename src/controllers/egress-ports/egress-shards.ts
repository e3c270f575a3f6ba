import type { V1ConfigMap } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import {
  FREED_HOLD_MS,
  holderOf,
  isFreed,
  newShard,
  readEntry,
  readShard,
  type RecordEntry,
  shardName,
  shardOf,
  shardOfName,
  shardPatch,
  writeEntry,
} from '../../api/egress/egress-record.ts';
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from '../../kube/client/kube-client.ts';
import { compareVersions } from '../../kube/objects/resource-version.ts';
import { configMaps } from '../../api/kubernetes/resource.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import { WorkQueue } from '../../kube/queue/work-queue.ts';
import type { Logger } from '../../telemetry/log.ts';
import { EgressTable } from './egress-table.ts';

/** How long changes of a shard are gathered before it is written: a thousand new mirrors are a few writes. */
const GATHER_MS = 10;
/** Most shards that are written at once. */
const WRITERS = 8;
/**
 * How long a record that was deleted is not made again: an uninstall deletes it a moment before the
 * controller.
 */
const REMAKE_MS = 10_000;
/**
 * The shard whose existence says that the record is complete and decides: at the first start it is written
 * after all others.
 */
const MARK = 0;

/** Where the record is, and who hears of its changes. */
export interface EgressShardsOptions {
  readonly client: KubeClient;
  /** Of the installation. */
  readonly namespace: string;
  /** The record's ConfigMaps, which a reflector keeps. */
  readonly store: IndexedStore<V1ConfigMap>;
  /**
   * The entry of a port has changed (`entries`: the old one and the new one), or one that was to be written
   * cannot be (that one).
   */
  readonly onChange: (port: number, entries: readonly RecordEntry[]) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * The record's ConfigMaps (shards): what stands in them, and what is to be written. Every write is bound to
 * the resourceVersion of the shard that it was decided on, so that of two replicas that want one port the
 * first gets it, and the other learns so by a conflict.
 */
export class EgressShards {
  /** What stands in the record. */
  readonly recorded = new EgressTable();
  /** What waits to be written. */
  readonly pending = new EgressTable();
  readonly #options: EgressShardsOptions;
  /** The shards as they were seen last. */
  readonly #objects = new Map<number, V1ConfigMap>();
  /** Shards that a write has been scheduled for. */
  readonly #scheduled = new Set<number>();
  readonly #queue: WorkQueue;
  readonly #unsubscribe: () => void;
  #writes = 0;

  constructor(options: EgressShardsOptions) {
    this.#options = options;
    const { store, clock, random, log } = options;
    for (const object of store.list()) this.#take(object);
    this.#queue = new WorkQueue({
      handler: (shard, signal) => this.#write(Number(shard), signal),
      concurrency: WRITERS,
      backoff: { minMs: 100, maxMs: 30_000 },
      clock,
      random,
      log,
      onError: (shard, error) =>
        log.warn({ shard: shardName(Number(shard)), err: error }, 'egress ports not recorded, trying again'),
    });
    this.#unsubscribe = store.subscribe('controller: record of ports', ({ type, object }) => {
      if (type === 'deleted') this.#gone(object);
      else this.#take(object);
    });
  }

  /** Whether the record is there (`MARK`), so that nothing else decides who has a port. */
  get established(): boolean {
    return this.#objects.has(MARK);
  }

  /** Requests for writes so far. */
  get writes(): number {
    return this.#writes;
  }

  /** Makes the record where there is none, when everything that is pending has been written. */
  establish(): void {
    if (!this.established) this.#schedule(MARK);
  }

  /** The entry that a port will have when everything has been written. */
  get(port: number): RecordEntry | undefined {
    return this.pending.get(port) ?? this.recorded.get(port);
  }

  /** The ports that a holder has or will have, freed ones too. */
  ofHolder(holder: string): number[] {
    const ports = new Set([...this.recorded.ofHolder(holder), ...this.pending.ofHolder(holder)]);
    return [...ports].filter((port) => {
      const entry = this.get(port);
      return entry !== undefined && holderOf(entry) === holder;
    });
  }

  /** Has an entry written soon. @returns false: it is longer than an entry may be */
  put(port: number, wanted: RecordEntry): boolean {
    const text = writeEntry(wanted);
    const entry = text === undefined ? undefined : readEntry(text);
    if (entry === undefined) return false;
    if (isDeepStrictEqual(this.recorded.get(port), entry)) {
      this.forget(port);
    } else if (!isDeepStrictEqual(this.pending.get(port), entry)) {
      this.pending.set(port, entry);
      this.#schedule(shardOf(port));
    }
    return true;
  }

  /** What was to be written of a port is not written. */
  forget(port: number): void {
    this.pending.delete(port);
  }

  /** Resolves when no write is under way or about to begin. */
  idle(): Promise<void> {
    return this.#queue.idle();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await this.#queue.stop();
  }

  #schedule(shard: number, ms = GATHER_MS): void {
    if (this.#scheduled.has(shard)) return;
    this.#scheduled.add(shard);
    this.#queue.addAfter(String(shard), ms);
  }

  async #write(shard: number, signal: AbortSignal): Promise<void> {
    this.#scheduled.delete(shard);
    const marks = shard === MARK && !this.established;
    if (marks && this.#waitsForOthers()) return this.#schedule(MARK, 50);
    const changes = this.#possible(shard);
    if (changes.size === 0 && !marks) return;
    this.#writes++;
    if (!(await this.#carryOut(shard, changes, signal))) {
      await this.#read(shard, signal);
      this.#schedule(shard, 0);
    }
    for (const [port, change] of changes)
      if (this.pending.get(port) === change && isDeepStrictEqual(this.recorded.get(port), change))
        this.forget(port);
  }

  /** Writes changes of a shard. @returns false: the shard is not what we know of it */
  async #carryOut(
    shard: number,
    changes: ReadonlyMap<number, RecordEntry>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const known = this.#objects.get(shard);
    const data = this.#dataOf(shard, changes);
    try {
      this.#take(
        known === undefined
          ? await this.#create(shard, data, signal)
          : await this.#patch(known, data, signal),
      );
      return true;
    } catch (error) {
      // A create that gets 404 has not found the namespace, which reading the shard again would not mend.
      const stale = known === undefined ? isAlreadyExists(error) : isConflict(error) || isNotFound(error);
      if (stale) return false;
      throw error;
    }
  }

  /**
   * The pending changes of a shard that may be made; others are given up, and `onChange` is called for them.
   */
  #possible(shard: number): Map<number, RecordEntry> {
    const found = new Map<number, RecordEntry>();
    const now = this.#options.clock.now();
    for (const port of this.pending.ports()) {
      const change = this.pending.get(port);
      if (change === undefined || shardOf(port) !== shard) continue;
      if (mayTake(change, this.recorded.get(port), now)) {
        found.set(port, change);
      } else {
        this.forget(port);
        this.#options.onChange(port, [change]);
      }
    }
    return found;
  }

  /** Whether changes of other shards are still to be written. */
  #waitsForOthers(): boolean {
    return this.pending.ports().some((port) => shardOf(port) !== MARK);
  }

  /**
   * The values to write, by key; null removes a key. Freed entries that are long over are removed with them.
   */
  #dataOf(shard: number, changes: ReadonlyMap<number, RecordEntry>): Record<string, string | null> {
    const data: Record<string, string | null> = {};
    const now = this.#options.clock.now();
    for (const port of readShard(shard, this.#objects.get(shard)?.data).keys()) {
      const entry = this.recorded.get(port);
      if (entry !== undefined && isFreed(entry) && now - entry.freed > 10 * FREED_HOLD_MS)
        data[String(port)] = null;
    }
    for (const [port, change] of changes) data[String(port)] = writeEntry(change) ?? null;
    return data;
  }

  #create(shard: number, data: Record<string, string | null>, signal: AbortSignal): Promise<V1ConfigMap> {
    return this.#options.client.create(configMaps, newShard(this.#options.namespace, shard, data), {
      signal,
    });
  }

  #patch(seen: V1ConfigMap, data: Record<string, string | null>, signal: AbortSignal): Promise<V1ConfigMap> {
    const { name = '', namespace = '' } = seen.metadata ?? {};
    const patch = shardPatch(seen, data);
    return this.#options.client.patch(configMaps, { namespace, name }, patch, { type: 'merge', signal });
  }

  async #read(shard: number, signal: AbortSignal): Promise<void> {
    const { client, namespace } = this.#options;
    try {
      this.#take(await client.get(configMaps, { namespace, name: shardName(shard) }, { signal }));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#replace(shard, undefined);
    }
  }

  /** Takes in a shard as the watch or an answer has it, unless a newer version is known. */
  #take(object: V1ConfigMap): void {
    const shard = shardOfName(object.metadata?.name ?? '');
    if (shard === undefined) return;
    const known = this.#objects.get(shard)?.metadata?.resourceVersion ?? '';
    if (compareVersions(object.metadata?.resourceVersion ?? '', known) > 0) this.#replace(shard, object);
  }

  #gone({ metadata }: V1ConfigMap): void {
    const shard = shardOfName(metadata?.name ?? '');
    if (shard === undefined || this.#objects.get(shard)?.metadata?.uid !== metadata?.uid) return;
    this.#replace(shard, undefined);
    if (shard === MARK) this.#schedule(MARK, REMAKE_MS);
  }

  #replace(shard: number, object: V1ConfigMap | undefined): void {
    const before = this.#objects.get(shard);
    if (object === undefined) this.#objects.delete(shard);
    else this.#objects.set(shard, object);
    const [old, now] = [readShard(shard, before?.data), readShard(shard, object?.data)];
    const changed: [number, RecordEntry[]][] = [];
    for (const port of new Set([...old.keys(), ...now.keys()])) {
      const [was, is] = [old.get(port), now.get(port)];
      if (before?.data?.[String(port)] === object?.data?.[String(port)]) continue;
      if (is === undefined) this.recorded.delete(port);
      else this.recorded.set(port, is);
      changed.push([port, [was, is].filter((entry) => entry !== undefined)]);
    }
    for (const [port, entries] of changed) this.#options.onChange(port, entries);
  }
}

/**
 * Whether an entry may be written over another one: nobody takes a port from its holder, and a freed one only
 * when `FREED_HOLD_MS` are over.
 * @param now milliseconds since the epoch
 */
export function mayTake(wanted: RecordEntry, current: RecordEntry | undefined, now: number): boolean {
  if (current === undefined || holderOf(current) === holderOf(wanted)) return true;
  return !isFreed(wanted) && isFreed(current) && Math.abs(now - current.freed) > FREED_HOLD_MS;
}

import { isDeepStrictEqual } from 'node:util';
import { targetKey } from '../api/ports/target-key.ts';
import { notifyAll } from '../base/isolation.ts';
import type { TargetEndpoint } from '../exports/target-endpoint.ts';
import type { TargetSpec } from './target-spec.ts';

/** The current targets by key. Listeners are called for a key only when its target differs from before. */
export class TargetTable {
  readonly #targets = new Map<string, TargetSpec>();
  readonly #listeners = new Set<(key: string) => void>();

  get(name: string, port: number): TargetSpec | undefined {
    return this.#targets.get(targetKey(name, port));
  }

  keys(): Iterable<string> {
    return this.#targets.keys();
  }

  get size(): number {
    return this.#targets.size;
  }

  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Replaces the targets of one owner (a file, a Service), which had the keys `former`.
   * @returns the keys that it has now
   */
  replace(former: Iterable<string>, targets: readonly TargetSpec[]): string[] {
    const gone = new Set(former);
    const changed: string[] = [];
    const keys = targets.map((target) => {
      const key = targetKey(target.name, target.port);
      gone.delete(key);
      if (!sameTarget(this.#targets.get(key), target)) {
        this.#targets.set(key, target);
        changed.push(key);
      }
      return key;
    });
    for (const key of gone) if (this.#targets.delete(key)) changed.push(key);
    // After all changes, so that a listener that reads another target sees its new state.
    for (const key of changed) notifyAll('listeners of targets', this.#listeners, key);
    return keys;
  }

  clear(): void {
    this.#listeners.clear();
    this.#targets.clear();
  }
}

const RULES = ['accrual', 'limits', 'faults', 'requests'] as const;

/** Whether both are equal, with endpoints in the same order. */
export function sameTarget(a: TargetSpec | undefined, b: TargetSpec): boolean {
  return (
    a !== undefined &&
    a.name === b.name &&
    a.port === b.port &&
    a.protocol === b.protocol &&
    (a.allow === undefined) === (b.allow === undefined) &&
    sameList(a.allow ?? [], b.allow ?? [], (x, y) => x === y) &&
    RULES.every((rules) => isDeepStrictEqual(a[rules], b[rules])) &&
    sameList(a.endpoints, b.endpoints, sameEndpoint)
  );
}

function sameEndpoint(a: TargetEndpoint, b: TargetEndpoint): boolean {
  return (
    a.host === b.host &&
    a.port === b.port &&
    a.ready === b.ready &&
    a.zone === b.zone &&
    a.preferred === b.preferred &&
    (a.mesh === b.mesh || isDeepStrictEqual(a.mesh, b.mesh))
  );
}

function sameList<T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean): boolean {
  return a.length === b.length && a.every((item, index) => same(item, b[index] as T));
}

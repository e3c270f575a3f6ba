import { isDeepStrictEqual } from 'node:util';
import { targetKey } from '../api/ports/target-key.ts';
import { notifyAll } from '../base/isolation.ts';
import { POLICY_PARTS, type PolicyPart } from '../policy/effective-policy.ts';
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

type Sameness<T> = { readonly [F in keyof T]-?: (a: T[F], b: T[F]) => boolean };

/** Of the traffic policy nothing stands here: its parts are in one list, `POLICY_PARTS`. */
const FIELDS: Sameness<Omit<TargetSpec, PolicyPart>> = {
  name: equal,
  port: equal,
  protocol: equal,
  allow: (a, b) => a === b || (a !== undefined && b !== undefined && sameList(a, b, equal)),
  endpoints: (a, b) => sameList(a, b, sameEndpoint),
  routed: (a, b) => a === b || isDeepStrictEqual(a, b),
};

/** Whether both are equal, with endpoints in the same order. */
export function sameTarget(a: TargetSpec | undefined, b: TargetSpec): boolean {
  return (
    a !== undefined &&
    sameFields(FIELDS, a, b) &&
    POLICY_PARTS.every((part) => isDeepStrictEqual(a[part], b[part]))
  );
}

const ENDPOINT: Sameness<TargetEndpoint> = {
  host: equal,
  port: equal,
  ready: equal,
  leaving: equal,
  zone: equal,
  preferred: equal,
  mesh: (a, b) => a === b || isDeepStrictEqual(a, b),
};

function sameEndpoint(a: TargetEndpoint, b: TargetEndpoint): boolean {
  return sameFields(ENDPOINT, a, b);
}

function sameFields<T>(fields: Sameness<T>, a: T, b: T): boolean {
  for (const field in fields) if (!fields[field](a[field], b[field])) return false;
  return true;
}

function equal(a: unknown, b: unknown): boolean {
  return a === b;
}

function sameList<T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean): boolean {
  return a.length === b.length && a.every((item, index) => same(item, b[index] as T));
}

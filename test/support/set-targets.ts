import type { TargetSource, TargetSpec } from '../../src/discovery/target-spec.ts';
import type { TargetEndpoint } from '../../src/exports/target-endpoint.ts';

/** Services of the egress' own cluster, as a test sets them. */
export class SetTargets implements TargetSource {
  readonly ready = { ok: true, reason: '' };
  readonly #specs = new Map<string, TargetSpec>();
  readonly #listeners = new Set<(key: string) => void>();

  get(name: string, port: number): TargetSpec | undefined {
    return this.#specs.get(`${name}:${port}`);
  }

  keys(): Iterable<string> {
    return this.#specs.keys();
  }

  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  set(name: string, endpoints: readonly TargetEndpoint[], protocol?: TargetSpec['protocol']): void {
    const spoken = protocol === undefined ? {} : { protocol };
    this.#specs.set(`${name}:80`, { name, port: 80, endpoints, ...spoken });
    for (const listener of this.#listeners) listener(`${name}:80`);
  }
}

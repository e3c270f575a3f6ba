import { splitTargetKey } from '../api/ports/target-key.ts';
import type { TargetSource, TargetSpec } from '../discovery/target-spec.ts';
import type { Flow } from '../proxy/downstream/session.ts';
import type { Target } from '../proxy/upstream/target.ts';

/** Makes a target what is exported; undefined: nothing is. */
export function update(target: Target, spec: TargetSpec | undefined): void {
  target.update(spec?.endpoints ?? [], spec);
}

/** What is exported by a key (`name:port`), if anything is. */
export function lookUp(targets: TargetSource, key: string): TargetSpec | undefined {
  const { name, port } = splitTargetKey(key);
  return targets.get(name, Number(port));
}

/** Stands for a client that may ask again at any time, so that a service is not forgotten meanwhile. */
export class Presence implements Flow {
  recheck(): void {
    // Requests are checked one by one.
  }

  drain(): void {
    // Its connection is told.
  }
}

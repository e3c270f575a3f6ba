import { type FailoverFacts, readFacts, writeFacts } from './failover-facts.ts';
import { MAX_BACKEND_FACTS_LENGTH } from './failover-names.ts';
import { readJsonObject } from './json-object.ts';

/** Facts by backend, of those backends that are Services of this cluster. */
export type BackendFacts = ReadonlyMap<string, FailoverFacts>;

/** The value of `failover.linkspan.dev/backend-facts`; equal facts have equal values. */
export function writeBackendFacts(facts: BackendFacts): string {
  const entries = [...facts].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(Object.fromEntries(entries.map(([name, one]) => [name, writeFacts(one)])));
}

/** Reads it; what is not valid is left out, and nothing is known of that backend. Never throws. */
export function readBackendFacts(text: string | undefined): BackendFacts {
  const found = new Map<string, FailoverFacts>();
  for (const [name, value] of Object.entries(readJsonObject(text, MAX_BACKEND_FACTS_LENGTH) ?? {})) {
    const facts = typeof value === 'string' ? readFacts(value) : undefined;
    if (facts !== undefined) found.set(name, facts);
  }
  return found;
}

import type { SyncStats } from '../../api/answers/stats-report.ts';
import type { KubeClient } from '../client/kube-client.ts';

/** A collection that is followed (`Reflector`). */
export interface Followed {
  readonly resource: { readonly plural: string };
  readonly synced: boolean;
  readonly error: Error | undefined;
  /** Milliseconds since the epoch. */
  readonly lastHeard: number | undefined;
}

/** By the client through which they are followed. */
const all = new WeakMap<KubeClient, Set<Followed>>();

/** Notes that a collection is followed. @returns what says that it is no longer */
export function follows(client: KubeClient, one: Followed): () => void {
  let followed = all.get(client);
  if (followed === undefined) all.set(client, (followed = new Set()));
  followed.add(one);
  return () => followed.delete(one);
}

/**
 * What is followed through a client and how well, by kind; of several of a kind the worst.
 * @param now milliseconds since the epoch
 */
export function syncStats(client: KubeClient, now: number): SyncStats[] {
  const rows = [...(all.get(client) ?? [])].map(({ resource, synced, error, lastHeard }): SyncStats => {
    const ok = synced && error === undefined;
    if (lastHeard === undefined) return { kind: resource.plural, ok };
    return { kind: resource.plural, ok, ageS: Math.max(0, Math.round((now - lastHeard) / 1000)) };
  });
  return worstSync(rows);
}

/** The worst of each kind, in the order of their names. What was never heard of is the oldest. */
export function worstSync(rows: readonly SyncStats[]): SyncStats[] {
  const found = new Map<string, SyncStats>();
  for (const row of rows) {
    const other = found.get(row.kind);
    found.set(row.kind, other === undefined ? row : worse(row, other));
  }
  return [...found.values()].sort((a, b) => (a.kind < b.kind ? -1 : 1));
}

function worse(a: SyncStats, b: SyncStats): SyncStats {
  const both = { kind: a.kind, ok: a.ok && b.ok };
  if (a.ageS === undefined || b.ageS === undefined) return both;
  return { ...both, ageS: Math.max(a.ageS, b.ageS) };
}

/**
 * Why a request or raw connection was sent to another backend of its group. `connect`: the first could not be
 * connected to; `refused`: it refused the request unprocessed; `no_endpoints`: it had no endpoint; `retry`:
 * its connection was lost, and the request is idempotent.
 */
export const MOVE_REASONS = ['connect', 'refused', 'no_endpoints', 'retry'] as const;
export type MoveReason = (typeof MOVE_REASONS)[number];

/** How many requests and raw connections one backend of a group had, by their outcome. */
export interface BackendCounts {
  /** The backend has answered the request, or taken the raw connection. */
  served: number;
  /** The client got a failure. */
  failed: number;
  /** It was sent to another backend. */
  moved: number;
}

/** The counts of one group, as plain JSON. All numbers only grow. */
export interface GroupCounts {
  /** By name of the backend. */
  readonly backends: Readonly<Record<string, Readonly<BackendCounts>>>;
  readonly moved: Readonly<Record<MoveReason, number>>;
}

/** Counts the requests and raw connections of one group. */
export class GroupCounters {
  readonly moved: Record<MoveReason, number> = { connect: 0, refused: 0, no_endpoints: 0, retry: 0 };
  readonly #backends = new Map<string, BackendCounts>();

  /** The counts of a backend, for the caller to keep and add to. */
  backend(name: string): BackendCounts {
    let counts = this.#backends.get(name);
    if (counts === undefined) this.#backends.set(name, (counts = { served: 0, failed: 0, moved: 0 }));
    return counts;
  }

  get numbers(): GroupCounts {
    const backends = Object.fromEntries([...this.#backends].map(([name, counts]) => [name, { ...counts }]));
    return { backends, moved: { ...this.moved } };
  }
}

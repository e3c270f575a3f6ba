import { type Annotations, readAnnotation } from '../annotations.ts';
import { drainProblem, type FailoverDrain, readDrain } from '../failover/failover-drain.ts';
import { FAILOVER_DRAIN_GROUP } from '../failover/failover-names.ts';

/** Most problems that are told of one Service. */
const MAX_LINES = 16;

/**
 * The annotation of a federated Service that drains one of its members, or of a Service without selector that
 * drains those of its backends that are in one cluster, so that one Service can be drained and others not.
 * Each cluster has one of its own: whoever drains one touches no other's.
 * @param member its cluster; `local` for the cluster itself
 */
export function serviceDrainKey(member: string): `${typeof FAILOVER_DRAIN_GROUP}/${string}` {
  return `${FAILOVER_DRAIN_GROUP}/${member}`;
}

/** The drain that a Service says of a cluster; undefined: none, or none that is valid. */
export function serviceDrain(
  annotations: Annotations | undefined,
  member: string,
): FailoverDrain | undefined {
  return annotations === undefined
    ? undefined
    : readDrain(readAnnotation(annotations, serviceDrainKey(member)));
}

/** What is wrong with the drains that a Service says, and until when that may change by itself. */
export interface DrainProblems {
  /** One line each. */
  readonly lines: readonly string[];
  /** Milliseconds since the epoch; undefined: not before somebody writes something else. */
  readonly until: number | undefined;
}

/**
 * What is wrong with the drains that a Service says of its members, or of where its backends lead, the first
 * few of them. One of somebody else is a slip while it lasts; afterwards it may be of one that has left.
 * @param members their names, as `serviceDrainKey` has them
 * @param now milliseconds since the epoch
 */
export function serviceDrainProblems(
  annotations: Annotations | undefined,
  members: ReadonlySet<string>,
  now: number,
): DrainProblems {
  const lines: string[] = [];
  let until: number | undefined;
  const prefix = `${FAILOVER_DRAIN_GROUP}/`;
  const keys = Object.keys(annotations ?? {}).filter((key) => key.startsWith(prefix));
  for (const key of keys.sort()) {
    if (lines.length >= MAX_LINES) break;
    const text = readAnnotation(annotations, key as `${typeof FAILOVER_DRAIN_GROUP}/${string}`);
    const problem = drainProblem(text);
    const drain = readDrain(text);
    if (problem !== undefined) lines.push(`${key}: ${problem}; it counts for nothing`);
    else if (drain !== undefined && drain.until > now && !members.has(key.slice(prefix.length))) {
      lines.push(`${key}: no requests go there; it counts for nothing`);
      until = Math.min(until ?? drain.until, drain.until);
    }
  }
  return { lines, until };
}

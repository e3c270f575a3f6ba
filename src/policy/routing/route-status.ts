import { isDeepStrictEqual } from 'node:util';
import type { V1Condition } from '@kubernetes/client-node';
import type { RouteParentStatus, WrittenParentRef } from '../../api/routing/routing-kinds.ts';
import type { ParentRef } from '../../api/routing/route-spec.ts';
import type { RouteVerdict } from './service-routing.ts';

/** What the conditions of a route say, for one of its parents. */
export type ParentVerdict = Pick<RouteVerdict, 'parent' | 'accepted' | 'resolved'>;

/** What else decides about a status. */
export interface RouteStatusFacts {
  /** Whose entries are written (`controllerName`). */
  readonly controllerName: string;
  /** `metadata.generation` of the route that was judged. */
  readonly generation: number;
  /** ISO 8601, in seconds. */
  readonly now: string;
  /** Whether an entry of ours without a verdict is left as it is; default: it is not. */
  readonly keep?: (ref: WrittenParentRef) => boolean;
}

/** Most entries that Gateway API lets a route's status have; ours are left out where there is no room. */
const MAX_PARENTS = 32;

/**
 * The `status.parents` that a route should have: entries of other controllers as they are, and one of ours
 * for each verdict. A condition that says the same as before keeps its time.
 * @param current what stands there
 * @returns undefined where it is so already
 */
export function routeParents(
  current: readonly RouteParentStatus[],
  verdicts: readonly ParentVerdict[],
  { controllerName, generation, now, keep = () => false }: RouteStatusFacts,
): readonly RouteParentStatus[] | undefined {
  const isOurs = (one: RouteParentStatus) => one.controllerName === controllerName;
  const room = MAX_PARENTS - current.filter((one) => !isOurs(one)).length;
  const left = new Map<string, RouteParentStatus>();
  for (const verdict of verdicts.slice(0, Math.max(0, room))) {
    const parentRef = writtenRef(verdict.parent.written);
    const before = current.find((one) => isOurs(one) && keyOfRef(one.parentRef) === keyOfRef(parentRef));
    const conditions = conditionsOf(verdict, before, generation, now);
    left.set(keyOfRef(parentRef), { parentRef, controllerName, conditions });
  }
  // Entries stay where they are: two controllers that put their own first would never agree.
  const next = current.flatMap((one) => {
    if (!isOurs(one)) return [one];
    const key = keyOfRef(one.parentRef);
    const found = left.get(key);
    left.delete(key);
    if (found !== undefined) return [found];
    return keep(one.parentRef) ? [one] : [];
  });
  next.push(...left.values());
  return isDeepStrictEqual(plain(next), plain(current)) ? undefined : next;
}

function conditionsOf(
  { accepted, resolved }: ParentVerdict,
  before: RouteParentStatus | undefined,
  observedGeneration: number,
  now: string,
): V1Condition[] {
  const said = { Accepted: accepted, ResolvedRefs: resolved };
  return Object.entries(said).map(([type, { reason, message }]) => {
    // The reason for a condition that holds has the condition's own name.
    const status = reason === type ? 'True' : 'False';
    const last = before?.conditions?.find((one) => one.type === type);
    const since = last?.status === status ? last.lastTransitionTime : now;
    const lastTransitionTime = since as unknown as Date;
    return { type, status, reason, message, observedGeneration, lastTransitionTime };
  });
}

/** The same for two references to the same parent. */
function keyOfRef({ group, kind, namespace, name, sectionName, port }: WrittenParentRef): string {
  return JSON.stringify([group, kind, namespace, name, sectionName, port]);
}

/** A reference as the route has it, without fields that it has not set. */
function writtenRef(written: ParentRef['written']): WrittenParentRef {
  const { group, kind, namespace, name, sectionName, port } = written;
  return {
    ...(group === undefined || group === null ? {} : { group }),
    ...(kind ? { kind } : {}),
    ...(namespace ? { namespace } : {}),
    name,
    ...(sectionName ? { sectionName } : {}),
    ...(port ? { port } : {}),
  };
}

/** As JSON has it, so that dates and texts of dates are equal. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

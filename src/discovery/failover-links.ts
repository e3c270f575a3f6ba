import { isDeepStrictEqual } from 'node:util';
import { type Annotations, readAnnotation } from '../api/annotations.ts';
import { drillProblem } from '../api/failover/connection-drill.ts';
import { drainProblem, type FailoverDrain, readDrain } from '../api/failover/failover-drain.ts';
import {
  FAILOVER_CAPACITY_FACTOR,
  FAILOVER_DRAIN,
  FAILOVER_DRILL,
  FAILOVER_TIER,
  FAILOVER_WEIGHT,
} from '../api/failover/failover-names.ts';
import { byAge } from '../api/kubernetes/resource.ts';
import type { LinkObject } from '../api/link/link-schema.ts';
import type { IndexedStore } from '../kube/informer/store.ts';
import { type LinkDefaults, readLinkDefaults } from '../policy/failover/placement.ts';

/** What the Link of one cluster says about failover. */
export interface LinkFailover {
  readonly defaults: LinkDefaults;
  /** Its cluster is drained here, or its gateway asks for it. */
  readonly drains: readonly FailoverDrain[];
  /** What is wrong with its annotations, one line each. */
  readonly problems: readonly string[];
}

/** What Links say about failover, by cluster; those that say nothing are not in it. */
export type LinksFailover = ReadonlyMap<string, LinkFailover>;

/**
 * Reads it. Of several Links of one cluster the oldest counts, also where it says nothing: it is the one that
 * the cluster's Services are mirrored by (`link/rivals.ts`).
 */
export function linksFailover(links: readonly LinkObject[]): LinksFailover {
  const found = new Map<string, LinkFailover>();
  const seen = new Set<string>();
  for (const { metadata, spec, status } of links.toSorted(byAge)) {
    const cluster: unknown = spec?.targetClusterName;
    const annotations = metadata?.annotations;
    if (typeof cluster !== 'string' || seen.has(cluster)) continue;
    seen.add(cluster);
    const said = [readAnnotation(annotations, FAILOVER_DRAIN), status?.gatewayDrain];
    const drains = said.map(readDrain).filter((drain) => drain !== undefined);
    const { defaults, problems: ofDefaults } = readLinkDefaults({
      tier: readAnnotation(annotations, FAILOVER_TIER),
      weight: readAnnotation(annotations, FAILOVER_WEIGHT),
      factor: readAnnotation(annotations, FAILOVER_CAPACITY_FACTOR),
    });
    const problems = [...ofDefaults, ...takenAwayProblems(annotations)];
    if (drains.length > 0 || problems.length > 0 || Object.keys(defaults).length > 0)
      found.set(cluster, { defaults, drains, problems });
  }
  return found;
}

/** What is wrong with a drain or a drill that somebody has written on a Link, one line each. */
export function takenAwayProblems(annotations: Annotations | undefined): string[] {
  return [
    [FAILOVER_DRAIN, drainProblem(readAnnotation(annotations, FAILOVER_DRAIN))] as const,
    [FAILOVER_DRILL, drillProblem(readAnnotation(annotations, FAILOVER_DRILL))] as const,
  ].flatMap(([key, problem]) => (problem === undefined ? [] : [`${key}: ${problem}; it counts for nothing`]));
}

/** What Links say, kept up to date. */
export class FailoverLinks {
  readonly #links: IndexedStore<LinkObject>;
  #said: LinksFailover;

  constructor(links: IndexedStore<LinkObject>) {
    this.#links = links;
    this.#said = linksFailover(links.list());
  }

  get said(): LinksFailover {
    return this.#said;
  }

  /** Calls `listener` when a Link says something else; its status is no reason. Returns the unsubscriber. */
  follow(listener: () => void): () => void {
    return this.#links.subscribe('failover: what Links say', () => {
      const said = linksFailover(this.#links.list());
      if (isDeepStrictEqual(said, this.#said)) return;
      this.#said = said;
      listener();
    });
  }
}

import type { ErrorCode } from '../../api/errors/error-catalogue.ts';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import type { FailoverFacts } from '../../api/failover/failover-facts.ts';
import { type Decision, decide } from './decide.ts';
import type { FederatedGroup } from './federated-group.ts';

/** A Service whose requests are divided, and how. */
export interface DrainedService {
  /** `namespace/name`. */
  readonly name: string;
  readonly group: FederatedGroup;
  /** The cluster that each backend leads to, by its name; default: backends are called as their clusters. */
  readonly clusters?: ReadonlyMap<string, string>;
}

/** Whether a backend, by its name, leads to the cluster. */
type LeadsThere = (backend: string) => boolean;

/** What should be drained, and what it would be taken from. */
export interface DrainFacts {
  /** The cluster that should be drained. */
  readonly cluster: string;
  readonly drain: FailoverDrain;
  /** Services of which it should be drained. */
  readonly services: readonly DrainedService[];
  /** All clusters, this one included. */
  readonly clusters: readonly string[];
  /** Those that are drained as a whole. */
  readonly drained: ReadonlySet<string>;
  /** What could not be read that may be about further Services, and why, one line each; default nothing. */
  readonly unread?: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** What would become of one Service. Parts are 0 to 1, except capacities, which can be more. */
export interface DrainEffect {
  readonly service: string;
  /** The share of the cluster now, and when the drain has come to its end. */
  readonly share: number;
  readonly shareThen: number;
  /** What all can bear, as part of what is asked of them: when all other drains have come to their end… */
  readonly capacityBefore: number;
  /** … and when this one has, too. */
  readonly capacityAfter: number;
  /** Nobody else can be used: the drain would do nothing, or requests would fail. */
  readonly sole: boolean;
  /**
   * Backends of which nobody knows how many endpoints they have, while the drain moves requests. They are
   * reckoned to have as many as their share of now needs. Absent: there are none.
   */
  readonly unknown?: readonly string[];
}

/** Why a drain should not be. */
export interface DrainFinding {
  readonly check: DrainCheck['name'];
  readonly code: ErrorCode;
  readonly message: string;
  /** The Services that it is about; none: it is about the cluster. */
  readonly services: readonly string[];
}

/** Differences of less than a millionth come from rounding. */
const ROUNDING = 1e-6;
/** Backends, or kinds, that are named in a message; a rule may have a thousand. */
const MAX_NAMED = 3;
const FOREVER = Number.MAX_SAFE_INTEGER;

/**
 * What a drain would do to each Service that it is about. Drains that are under way count as if they had come
 * to their end: they will have before this one has. Pure.
 */
export function drainEffects({ cluster, drain, services, now }: DrainFacts): DrainEffect[] {
  return services.flatMap(({ name, group, clusters }) => {
    const leads: LeadsThere = (backend) =>
      (clusters === undefined ? backend : clusters.get(backend)) === cluster;
    const settled = settledGroup(group, leads, now);
    const [today, before] = [decided(group, now), decided(settled, now)];
    const [is, was] = [shareOf(today, leads), shareOf(before, leads)];
    // It is no backend, or the policy keeps it off.
    if (is === undefined || was === undefined) return [];
    const after = decided(drainedGroup(settled, leads, drain), now);
    return {
      service: name,
      share: is,
      shareThen: shareOf(after, leads) ?? 0,
      ...capacityOf(settled, leads, { drain, now, before, after }),
      sole: was > 0 && after.fallback !== undefined && before.fallback === undefined,
    };
  });
}

interface DrainDecisions {
  readonly drain: FailoverDrain;
  readonly now: number;
  readonly before: Decision;
  readonly after: Decision;
}

/**
 * What all can bear before the drain and after it. `decide` uses a backend of which nothing is known as if
 * it had one endpoint, which says nothing of what it can bear. So it is reckoned to have as many as its share
 * of now needs, by those that are known, and no more: one that has no requests now can bear none. Where all
 * are sent to such a one, what the others would need to have is not known, and they count for nothing.
 */
function capacityOf(
  settled: FederatedGroup,
  leads: LeadsThere,
  { drain, now, before, after }: DrainDecisions,
): Pick<DrainEffect, 'capacityBefore' | 'capacityAfter' | 'unknown'> {
  const plain = { capacityBefore: before.total, capacityAfter: after.total };
  const guessed = before.backends.filter(({ backend, off }) => backend.facts === undefined && !off);
  const isMoved = before.backends.some(({ backend, load }) => leads(backend.name) && load > 0);
  if (guessed.length === 0 || !isMoved) return plain;
  const unknown = guessed.map(({ backend }) => backend.name);
  const known = before.backends.filter(({ backend, off }) => backend.facts !== undefined && !off);
  const part = known.reduce((sum, { load }) => sum + load, 0);
  if (part === 0 && known.some(({ usable }) => usable)) return { ...plain, capacityAfter: 0, unknown };
  const serving = known.filter(({ load }) => load > 0);
  const need = serving.reduce((sum, { factor, expected }) => sum + factor * expected, 0);
  const total = part > 0 ? need / part : 1;
  const sizes = new Map(
    guessed.map(({ backend, factor, load }) => [
      backend.name,
      settled.policy.expected.get(backend.name) ?? (total * load) / factor,
    ]),
  );
  const reckoned = {
    ...settled,
    backends: settled.backends.map((one) => ({ ...one, facts: one.facts ?? factsFor(sizes.get(one.name)) })),
  };
  return {
    capacityBefore: decided(reckoned, now).total,
    capacityAfter: decided(drainedGroup(reckoned, leads, drain), now).total,
    unknown,
  };
}

/** Of a backend with so many endpoints, all of them ready. */
function factsFor(size = 0): FailoverFacts {
  const usableSince = size > 0 ? 0 : null;
  return { path: 'alive', ready: size, known: size, expected: size, usableSince, flaps: 0, lastWord: 0 };
}

interface DrainCheck {
  readonly name: 'all-read' | 'half-of-clusters' | 'sole-backend' | 'capacity';
  readonly code: ErrorCode;
  /** What it demands, in one sentence. */
  readonly demands: string;
  readonly find: (
    facts: DrainFacts,
    effects: readonly DrainEffect[],
  ) => Omit<DrainFinding, 'check' | 'code'> | undefined;
}

/** The safety rule of drains: each check by itself. */
export const DRAIN_CHECKS: readonly DrainCheck[] = [
  {
    name: 'half-of-clusters',
    code: 'DRAIN_TOO_MANY',
    demands: 'At most half of all clusters, this one included, are drained at the same time.',
    find: ({ cluster, clusters, drained }) => {
      const all = new Set([...clusters, cluster]);
      const then = new Set([...drained, cluster]);
      if (then.size * 2 <= all.size) return undefined;
      const others = [...drained].filter((one) => one !== cluster).sort();
      const now = others.length === 0 ? '' : `, ${others.join(', ')} being drained already`;
      return { message: `${then.size} of ${all.size} clusters would be drained${now}`, services: [] };
    },
  },
  {
    name: 'sole-backend',
    code: 'DRAIN_SOLE_BACKEND',
    demands: 'Each Service has somebody else who can be used.',
    find: ({ cluster }, effects) => {
      const sole = effects.filter((one) => one.sole);
      if (sole.length === 0) return undefined;
      const services = sole.map(({ service }) => service);
      return { message: `nobody but ${cluster} can serve ${services.join(', ')}`, services };
    },
  },
  {
    name: 'capacity',
    code: 'DRAIN_CAPACITY',
    demands: 'The others can bear what is asked of them, or the drain makes no difference to that.',
    find: ({ cluster }, effects) => {
      const short = effects.filter(
        ({ sole, capacityBefore, capacityAfter }) =>
          !sole && capacityAfter < 1 - ROUNDING && capacityAfter < capacityBefore - ROUNDING,
      );
      if (short.length === 0) return undefined;
      const list = short.map(
        ({ service, capacityAfter, unknown }) =>
          `${service} (${Math.floor((capacityAfter + ROUNDING) * 100)}% of what is asked${unknownText(unknown)})`,
      );
      const services = short.map(({ service }) => service);
      return { message: `without ${cluster} capacity would be short: ${list.join(', ')}`, services };
    },
  },
  {
    name: 'all-read',
    code: 'DRAIN_UNREAD',
    demands: 'All rules by which requests could go to the cluster are known.',
    find: ({ unread = [] }) =>
      unread.length === 0
        ? undefined
        : {
            message: `rules that could not be read may lead there: ${unread.slice(0, MAX_NAMED).join('; ')}${unread.length > MAX_NAMED ? '; …' : ''}`,
            services: [],
          },
  },
];

function unknownText(unknown: readonly string[] = []): string {
  if (unknown.length === 0) return '';
  const more = unknown.length > MAX_NAMED ? `, and of ${unknown.length - MAX_NAMED} others` : '';
  const names = unknown.slice(0, MAX_NAMED).join(', ');
  return `, as far as is known: nobody has said how many endpoints there are of ${names}${more}`;
}

/** What speaks against a drain; nothing: it is safe. Pure. */
export function drainFindings(
  facts: DrainFacts,
  effects: readonly DrainEffect[] = drainEffects(facts),
): DrainFinding[] {
  return DRAIN_CHECKS.flatMap(({ name, code, find }) => {
    const found = find(facts, effects);
    return found === undefined ? [] : { check: name, code, ...found };
  });
}

function decided({ backends, policy, weighing }: FederatedGroup, now: number): Decision {
  return decide(backends, policy, now, weighing);
}

function shareOf({ backends }: Decision, leads: LeadsThere): number | undefined {
  const there = backends.filter(({ backend, off }) => leads(backend.name) && !off);
  return there.length === 0 ? undefined : there.reduce((sum, { share }) => sum + share, 0) / 10_000;
}

/**
 * The other clusters' drains at their ends; the cluster itself as if it had none: the new one replaces it.
 */
function settledGroup(group: FederatedGroup, leads: LeadsThere, now: number): FederatedGroup {
  const backends = group.backends.map((backend) => {
    const others = leads(backend.name) ? [] : (backend.drains ?? []);
    return { ...backend, drains: others.filter(({ until }) => now < until).map(atItsEnd) };
  });
  return { ...group, backends };
}

function drainedGroup(group: FederatedGroup, leads: LeadsThere, drain: FailoverDrain): FederatedGroup {
  const backends = group.backends.map((backend) =>
    leads(backend.name) ? { ...backend, drains: [atItsEnd(drain)] } : backend,
  );
  return { ...group, backends };
}

/** As it is when its ramp is over. */
function atItsEnd(drain: FailoverDrain): FailoverDrain {
  return { ...drain, start: 0, rampMs: 0, until: FOREVER };
}

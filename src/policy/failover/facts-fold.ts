import {
  type FailoverFacts,
  MAX_ENDPOINTS,
  MAX_FLAPS,
  type PathState,
} from '../../api/failover/failover-facts.ts';
import { holdMs, isEnough, type ReturnRules } from './readiness.ts';
import type { FailoverPolicy } from './failover-policy.ts';

/** What a peer observes of a member at one moment. What is absent was not observed, and stays as it was. */
export interface Sighting {
  readonly path?: Exclude<PathState, 'unknown'> | undefined;
  /** Numbers of ready endpoints, and of all endpoints. */
  readonly ready?: number | undefined;
  readonly known?: number | undefined;
}

/** The parts of the policy that facts depend on. */
export interface FactsRules extends ReturnRules, Pick<FailoverPolicy, 'minHealthy' | 'capacityWindowMs'> {
  /** How many endpoints the member should have, if the policy says (`expected`). */
  readonly stated?: number | undefined;
}

/** What a peer remembers of a member between two sightings. */
export interface FactsState {
  readonly facts: FailoverFacts;
  /** The highest number of ready endpoints, and when it was last seen (milliseconds since the epoch). */
  readonly peak: number;
  readonly peakAt: number;
  /** Since when it has no ready endpoint or cannot be reached, in which time its peak does not fall. */
  readonly goneSince: number | undefined;
  /** The facts that are published, and when they were; undefined: none have been. */
  readonly published: FailoverFacts | undefined;
  readonly publishedAt: number;
}

/** How long a member must have had its full share until its withdrawals are forgotten, milliseconds. */
export const FORGET_FLAPS_MS = 600_000;
/** How long a member may be gone until its peak is forgotten, milliseconds. */
export const FORGET_PEAK_MS = 86_400_000;
/** Shortest time between two publications of changes that are not urgent, milliseconds. */
export const PUBLISH_EVERY_MS = 5000;
/** As much as clocks of replicas may differ without a reason to write facts anew, milliseconds. */
const MAX_SKEW_MS = 30_000;
/** A loss of this part of the expected endpoints is urgent. */
const URGENT_FALL = 0.1;
/** That a member is usable again is urgent only if it was withdrawn no more often than this. */
const MAX_FLAPS_TO_HURRY = 1;

/** The state of a peer that starts, from the published facts: it goes on where another left off. */
export function resumedFacts(facts: FailoverFacts, now: number): FactsState {
  const gone = facts.path !== 'alive' || facts.ready === 0;
  return {
    facts,
    peak: facts.expected,
    peakAt: now,
    goneSince: gone ? now : undefined,
    published: facts,
    publishedAt: now,
  };
}

/** The next state after a sighting, or after some time without one (`{}`). Pure. */
export function foldFacts(
  former: FactsState | undefined,
  seen: Sighting,
  rules: FactsRules,
  now: number,
): FactsState {
  const state = former === undefined ? undefined : notAfter(former, now);
  const before = state?.facts ?? NOTHING_SEEN;
  const { path, ready, known } = knownNow(before, seen);
  const peak = nextPeak(state, { path, ready }, rules, now);
  const expected = Math.max(ready, Math.ceil(expectedAt(peak, ready, rules, now)));
  const enough = path === 'alive' && isEnough(ready, rules.stated ?? expected, rules.minHealthy);
  const lastWord = isWord(seen) || state === undefined ? now : before.lastWord;
  return {
    ...peak,
    facts: { path, ready, known, expected, ...nextUse(before, enough, rules, now), lastWord },
    published: state?.published,
    publishedAt: state?.publishedAt ?? 0,
  };
}

/** The state with nothing in it that is still to come: the clock may have been set back. */
function notAfter(state: FactsState, now: number): FactsState {
  const { facts, peakAt, goneSince, publishedAt } = state;
  const { usableSince } = facts;
  if (Math.max(peakAt, goneSince ?? 0, publishedAt, (usableSince ?? 0) - MAX_SKEW_MS) <= now) return state;
  const early = usableSince !== null && usableSince > now + MAX_SKEW_MS;
  return {
    ...state,
    facts: early ? { ...facts, usableSince: now } : facts,
    peakAt: Math.min(peakAt, now),
    goneSince: goneSince === undefined ? undefined : Math.min(goneSince, now),
    publishedAt: Math.min(publishedAt, now),
  };
}

const NOTHING_SEEN: FailoverFacts = {
  path: 'unknown',
  ready: 0,
  known: 0,
  expected: 0,
  usableSince: null,
  flaps: 0,
  lastWord: 0,
};

function knownNow(before: FailoverFacts, seen: Sighting): Pick<FailoverFacts, 'path' | 'ready' | 'known'> {
  const { path = before.path } = seen;
  const ready = whole(seen.ready ?? before.ready);
  return { path, ready, known: Math.max(ready, whole(seen.known ?? before.known)) };
}

function isWord({ path, ready, known }: Sighting): boolean {
  return path !== undefined || ready !== undefined || known !== undefined;
}

/** The state after these facts have been published. */
export function publishedFacts(state: FactsState, written: FailoverFacts, now: number): FactsState {
  return { ...state, published: written, publishedAt: now };
}

/**
 * When the facts should be published: `now` means at once, undefined that the published ones are still right.
 * A change of `lastWord` alone is not published.
 */
export function publishAt({ facts, published, publishedAt }: FactsState, now: number): number | undefined {
  if (published === undefined) return now;
  const urgent = isUrgent(facts, published);
  if (urgent) return now;
  const same =
    facts.ready === published.ready &&
    facts.known === published.known &&
    facts.usableSince === published.usableSince &&
    facts.expected === published.expected &&
    facts.flaps === published.flaps;
  return same ? undefined : Math.max(now, publishedAt + PUBLISH_EVERY_MS);
}

function isUrgent(facts: FailoverFacts, published: FailoverFacts): boolean {
  if (facts.path !== published.path) return true;
  if (published.ready - facts.ready >= URGENT_FALL * Math.max(1, published.expected)) return true;
  if (facts.usableSince === published.usableSince) return false;
  // A member that comes and goes is held for a minute or more anyway, so its return is not urgent.
  return facts.usableSince === null || published.usableSince !== null || facts.flaps <= MAX_FLAPS_TO_HURRY;
}

/** When facts next change by time alone, later than `now`; undefined: they do not. */
export function nextFactsAt(state: FactsState, rules: FactsRules, now: number): number | undefined {
  const { facts, peak, peakAt, goneSince } = state;
  const moments: number[] = [];
  if (facts.flaps > 0 && facts.usableSince !== null)
    moments.push(fullUseSince(facts.flaps, facts.usableSince, rules) + FORGET_FLAPS_MS);
  if (goneSince !== undefined) moments.push(goneSince + FORGET_PEAK_MS);
  // When one endpoint less is expected; 1 ms later, so that `expectedAt` has surely gone below it.
  else if (facts.expected > facts.ready)
    moments.push(Math.floor(peakAt + rules.capacityWindowMs * (2 - (facts.expected - 1) / peak)) + 1);
  const later = moments.filter((at) => at > now);
  return later.length === 0 ? undefined : Math.min(...later);
}

type Peak = Pick<FactsState, 'peak' | 'peakAt' | 'goneSince'>;

function nextPeak(
  state: FactsState | undefined,
  { path, ready }: { readonly path: PathState; readonly ready: number },
  rules: FactsRules,
  now: number,
): Peak {
  const gone = path !== 'alive' || ready === 0;
  const goneSince = gone ? (state?.goneSince ?? now) : undefined;
  if (state === undefined || isForgotten(goneSince, now)) return { peak: ready, peakAt: now, goneSince };
  // While it is gone its peak does not fall: otherwise its first endpoint that is back would count as all.
  const still = state.goneSince !== undefined;
  const expected = still ? state.peak : expectedAt(state, state.facts.ready, rules, now);
  // As many as expected were ready until now: the window begins at this moment.
  const was = state.facts.ready >= expected;
  if (ready >= expected || was || still || gone)
    return { peak: Math.max(ready, expected), peakAt: now, goneSince };
  return { peak: state.peak, peakAt: state.peakAt, goneSince };
}

function isForgotten(goneSince: number | undefined, now: number): boolean {
  return goneSince !== undefined && now - goneSince >= FORGET_PEAK_MS;
}

/**
 * How many endpoints are expected: the peak, for one window after it was last seen. After that it falls
 * gradually, to 0 within another window, but not below the ready ones: a step would move traffic at once.
 */
function expectedAt(
  { peak, peakAt }: Pick<Peak, 'peak' | 'peakAt'>,
  ready: number,
  rules: FactsRules,
  now: number,
): number {
  const over = now - peakAt - rules.capacityWindowMs;
  return over <= 0 ? peak : Math.max(ready, peak * (1 - over / rules.capacityWindowMs));
}

function nextUse(
  { usableSince, flaps }: FailoverFacts,
  enough: boolean,
  rules: FactsRules,
  now: number,
): Pick<FailoverFacts, 'usableSince' | 'flaps'> {
  if (!enough)
    return { usableSince: null, flaps: usableSince === null ? flaps : Math.min(MAX_FLAPS, flaps + 1) };
  if (usableSince === null) return { usableSince: now, flaps };
  const forgotten = now >= fullUseSince(flaps, usableSince, rules) + FORGET_FLAPS_MS;
  return { usableSince, flaps: forgotten ? 0 : flaps };
}

function fullUseSince(flaps: number, usableSince: number, rules: ReturnRules): number {
  return usableSince + holdMs(flaps, rules) + rules.rampMs;
}

function whole(count: number): number {
  return Math.min(MAX_ENDPOINTS, Math.max(0, Math.floor(count)));
}

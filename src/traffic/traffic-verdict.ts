import type { ServiceReport } from '../api/answers/admin-answers.ts';
import { DEFAULT_OBJECTIVE, type Objective } from '../api/objective.ts';
import { mirrorReasons, type MirrorReason } from '../api/reasons/mirror-reasons.ts';
import type { TrafficReason } from '../api/reasons/traffic-reasons.ts';
import type { Endpoints } from './cluster-reading.ts';
import { ENDPOINT_FAILURES, type Tally } from './tally.ts';

/** Whether something fails, and why. */
export interface Verdict {
  readonly failing: boolean;
  /** A reason constant, or a kind of failure; empty where there is nothing to say. */
  readonly reason: string;
  readonly message: string;
}

/** The same in a row, for people and programs. */
export interface ToldVerdict extends Verdict {
  /** What to do about the reason; empty where there is nothing. */
  readonly advice: string;
}

/** Nothing is wrong. */
export const FINE: Verdict = { failing: false, reason: '', message: '' };

/** Fewer requests in a window never fail by success or latency alone. */
const ENOUGH = 10;

/** What a verdict about a Service is made of. */
export interface TrafficFacts {
  /** What the controllers say of a mirror. */
  readonly mirror?: Pick<ServiceReport, 'reason' | 'message'> | undefined;
  readonly endpoints?: Endpoints | undefined;
  readonly objective: Objective;
  readonly tally: Tally;
}

type Check = (facts: TrafficFacts) => Verdict | undefined;

/** In the order of their weight: what is said first is said. */
const CHECKS: readonly Check[] = [mirrorIsBad, noEndpoints, tooManyFail, tooSlow];

/** The first thing that is wrong. */
export function trafficVerdict(facts: TrafficFacts): Verdict {
  for (const check of CHECKS) {
    const verdict = check(facts);
    if (verdict !== undefined) return verdict;
  }
  return { ...FINE, reason: facts.mirror?.reason ?? '' };
}

/** The same of what has no mirror and no endpoints of its own: a process, a Link, a client. */
export function signalsVerdict(tally: Tally, objective: Objective = DEFAULT_OBJECTIVE): Verdict {
  return trafficVerdict({ tally, objective });
}

/** Whether a reason of a mirror says that something is wrong with it. */
export function isBadMirror(reason: MirrorReason): boolean {
  // An older or newer controller may say what is not known here.
  if (!Object.hasOwn(mirrorReasons, reason)) return true;
  const { class: kind } = mirrorReasons[reason];
  return kind !== 'fine' && kind !== 'unexported' && kind !== 'refused';
}

function mirrorIsBad({ mirror }: TrafficFacts): Verdict | undefined {
  if (mirror === undefined || !isBadMirror(mirror.reason)) return undefined;
  return { failing: true, reason: mirror.reason, message: mirror.message };
}

function noEndpoints({ endpoints }: TrafficFacts): Verdict | undefined {
  if (endpoints === undefined || endpoints.ready > 0) return undefined;
  const message = `none of ${endpoints.known} endpoints is ready`;
  return { failing: true, reason: 'NoReadyEndpoints' satisfies MirrorReason, message };
}

function tooManyFail({ tally, objective }: TrafficFacts): Verdict | undefined {
  const { success, ended } = tally;
  if (success === undefined || ended < ENOUGH || success >= objective.success) return undefined;
  const reason = tally.worstKind ?? ENDPOINT_FAILURES;
  const message = `${percent(success)} of ${ended} requests succeed, ${percent(objective.success)} are expected`;
  return { failing: true, reason, message };
}

function tooSlow({ tally, objective }: TrafficFacts): Verdict | undefined {
  if (tally.answered < ENOUGH) return undefined;
  for (const { quantile, ms } of objective.latencies) {
    const found = tally.quantile(quantile);
    if (found === undefined || found <= ms) continue;
    const message = `p${Number((quantile * 100).toPrecision(6))} is ${Math.round(found)} ms, ${ms} ms are expected`;
    return { failing: true, reason: 'LatencyAboveObjective' satisfies TrafficReason, message };
  }
  return undefined;
}

/** `99.95%`: as many digits as it takes, and never 100 for what is less. */
export function percent(part: number): string {
  return `${Math.floor(part * 1e4 + 1e-6) / 100}%`;
}

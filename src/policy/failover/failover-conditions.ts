import { FAILOVER_CONDITIONS } from '../../api/failover/failover-names.ts';
import type { FailoverEvent, FailoverReason } from '../../api/failover/failover-reasons.ts';
import type { Figures } from './backend.ts';
import type { Decision } from './decide.ts';
import { capacityReason, type Demand, isCapacityShort } from './demand.ts';
import { GRAVEST } from './failover-verdict.ts';
import type { Placement } from './placement.ts';

/** What one condition of a federated Service says. */
export interface FailoverCondition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: FailoverReason;
  /** For people; says nothing that changes by the second, so that a ramp is no reason to write. */
  readonly message: string;
}

/** What conditions are made of. */
export interface Judged {
  readonly decision: Decision;
  readonly placement: Placement;
  /** What is wrong with annotations, one line each. */
  readonly problems: readonly string[];
  /** How requests fare; default: nobody has said. */
  readonly demand?: Demand;
}

/** Longest message of a condition or an Event; an Event takes 1024 bytes. */
const MAX_MESSAGE = 900;
const RETURNING: ReadonlySet<string> = new Set(['Held', 'Returning']);
const DRAINING: ReadonlySet<string> = new Set(['Draining', 'Drained']);
/** What people should hear first. */
const TOLD_FIRST: readonly FailoverReason[] = ['NoHealthyBackend', ...GRAVEST, 'SpillLowCapacity'];

/** The conditions of a federated Service. Pure. */
export function failoverConditions(judged: Judged): FailoverCondition[] {
  return [readiness(judged), activity(judged.decision), capacity(judged)];
}

/** The only condition of a Service about which something was written that cannot be done at all. */
export function notReady(reason: FailoverReason, message: string): FailoverCondition[] {
  return [condition(FAILOVER_CONDITIONS.ready, false, reason, message)];
}

/**
 * The conditions of a Service with several rules, of those of each rule: the first that is bad counts, else
 * the first that is well although its endpoints are too few.
 * @param rules names of the rules, with the conditions of each
 */
export function mergedConditions(
  rules: ReadonlyMap<string, readonly FailoverCondition[]>,
): FailoverCondition[] {
  const merged = new Map<string, FailoverCondition>();
  for (const [name, conditions] of rules)
    for (const one of conditions) {
      const before = merged.get(one.type);
      if (before !== undefined && gravity(one) <= gravity(before)) continue;
      const said = rules.size === 1 || one.message === '' ? one.message : `${name}: ${one.message}`;
      merged.set(one.type, { ...one, message: said.slice(0, MAX_MESSAGE) });
    }
  return [...merged.values()];
}

function gravity(one: FailoverCondition): number {
  if (!isWell(one)) return 2;
  return one.reason === 'DemandMet' ? 1 : 0;
}

function isWell({ type, status }: FailoverCondition): boolean {
  return (status === 'True') === (type === FAILOVER_CONDITIONS.ready);
}

/** Whether what somebody wrote can be done. */
function readiness({ decision, placement, problems }: Judged): FailoverCondition {
  const type = FAILOVER_CONDITIONS.ready;
  if (problems.length > 0) return condition(type, false, 'AnnotationInvalid', problems.join('\n'));
  if (placement.unknown.length > 0) {
    const names = placement.unknown.join(', ');
    return condition(type, false, 'TierUnknownMember', `no member of that name: ${names}`);
  }
  if (decision.reason === 'NoHealthyBackend')
    return condition(type, false, 'NoHealthyBackend', `serving all the same: ${serving(decision)}`);
  return condition(type, true, 'PrimaryServing', '');
}

/** Why requests go elsewhere than they would if all were well, the gravest first; undefined: they do not. */
export function reasonOfActivity(decision: Decision): FailoverReason | undefined {
  const away = decision.backends.filter(isAway);
  const reasons = new Set<FailoverReason>([decision.reason, ...away.map(({ reason }) => reason)]);
  return TOLD_FIRST.find((one) => reasons.has(one));
}

function activity(decision: Decision): FailoverCondition {
  const type = FAILOVER_CONDITIONS.active;
  const reason = reasonOfActivity(decision);
  if (reason === undefined) return condition(type, false, 'PrimaryServing', '');
  const who = decision.backends.filter(isAway).map(described).join('; ');
  return condition(type, true, reason, `${who === '' ? '' : `${who}; `}serving: ${serving(decision)}`);
}

function capacity({ decision, demand = 'unheard' }: Judged): FailoverCondition {
  const type = FAILOVER_CONDITIONS.short;
  const away = decision.short ? decision.backends.filter(isAway).map(described).join('; ') : '';
  return condition(type, isCapacityShort(decision, demand), capacityReason(decision, demand), away);
}

/** Whether a backend has not what it would have if all were well; a standby that is well has. */
function isAway({ off, state, back, drain }: Figures): boolean {
  if (off) return false;
  return state === 'Withdrawn' || back < 1 || drain < 1;
}

function described({ backend, state, reason }: Figures): string {
  const flaps = backend.facts?.flaps ?? 0;
  const times = RETURNING.has(state) && flaps > 1 ? `, withdrawn ${flaps} times` : '';
  return `${backend.name}: ${DRAINING.has(state) ? 'Draining' : state} (${reason}${times})`;
}

/** One whose share grows from nothing counts from the beginning: the first hundredth is no news. */
function serving({ backends }: Decision): string {
  const those = backends.filter(({ share, state }) => share > 0 || state === 'Returning');
  const names = those.map(({ backend }) => backend.name);
  return names.length === 0 ? 'nobody' : names.join(', ');
}

function condition(type: string, is: boolean, reason: FailoverReason, message: string): FailoverCondition {
  return { type, status: is ? 'True' : 'False', reason, message: message.slice(0, MAX_MESSAGE) };
}

/** Something that people are told once, when it begins. */
export interface FailoverNews {
  readonly type: 'Normal' | 'Warning';
  readonly reason: FailoverEvent;
  readonly message: string;
}

type Said = Pick<FailoverCondition, 'status' | 'reason' | 'message'>;

/**
 * What is news between two states of the conditions. What stood there before is read from the object, so that
 * a controller that starts tells nothing a second time. Pure.
 * @param before by type; a condition that is not in it counts as false
 */
export function failoverNews(
  before: ReadonlyMap<string, Said>,
  after: readonly FailoverCondition[],
): FailoverNews[] {
  return after.flatMap((now) => {
    const was = before.get(now.type);
    if (now.type === FAILOVER_CONDITIONS.ready) return newsOfReadiness(was, now);
    if (now.type === FAILOVER_CONDITIONS.active) return newsOfActivity(was, now);
    const { status, message } = now;
    return status === 'True' && was?.status !== 'True'
      ? [{ type: 'Warning', reason: 'CapacityShort', message }]
      : [];
  });
}

const TOLD: ReadonlySet<string> = new Set([
  'AnnotationInvalid',
  'TierUnknownMember',
  'NoHealthyBackend',
  'ApexHasSelector',
  'ApexHasEndpoints',
  'ApexUnsuitable',
  'TooManyApexes',
]);

/** Another slip is news too. */
function newsOfReadiness(
  was: Said | undefined,
  { status, reason, message }: FailoverCondition,
): FailoverNews[] {
  if (status === 'True' || (was?.status === 'False' && was.message === message)) return [];
  return isTold(reason) ? [{ type: 'Warning', reason, message }] : [];
}

function isTold(reason: string): reason is FailoverEvent {
  return TOLD.has(reason);
}

function newsOfActivity(
  was: Said | undefined,
  { status, reason, message }: FailoverCondition,
): FailoverNews[] {
  const [is, before] = [status === 'True', was?.status === 'True'];
  if (is && !before) return [{ type: 'Warning', reason: 'Failover', message: `${reason}: ${message}` }];
  if (before && !is)
    return [{ type: 'Normal', reason: 'FailBack', message: 'requests are divided as when all is well' }];
  const damped = isDamped(message) && !isDamped(was?.message ?? '');
  return damped ? [{ type: 'Warning', reason: 'FlapDamped', message }] : [];
}

/** Whether somebody is kept away because it came back too often. */
function isDamped(message: string): boolean {
  return message.includes('(FailBackHeld, withdrawn ');
}

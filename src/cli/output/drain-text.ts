import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import type { ConnectionDrill } from '../../api/failover/connection-drill.ts';
import { formatDuration } from '../../base/duration.ts';
import type { DrainPlan } from '../../drains/drain-plan.ts';
import type { DrainEffect } from '../../policy/failover/drain-safety.ts';
import { percentText, timeText } from '../../policy/failover/drain-words.ts';
import { table } from './output.ts';

/** A drain as programs get it. Times are RFC 3339. */
export interface DrainRow {
  readonly cluster: string;
  /** The only Service that it is about; null: all. */
  readonly service: string | null;
  readonly to: number;
  readonly start: string;
  readonly rampSeconds: number;
  readonly until: string;
  readonly services: readonly DrainEffect[];
  readonly problems: readonly { readonly check: string; readonly code: string; readonly message: string }[];
  /** Whether it was written. */
  readonly written: boolean;
}

/** Services, and backends of each, that a text names. */
const MAX_UNKNOWN = 5;

/** What was asked for, beside the plan. */
interface Asked extends Subject {
  readonly written: boolean;
}

/** What is drained. */
interface Subject {
  readonly cluster: string;
  readonly service?: string | undefined;
}

/** The plan of a drain for programs. */
export function drainRow({ drain, effects, findings }: DrainPlan, asked: Asked): DrainRow {
  const { cluster, service, written } = asked;
  return {
    cluster,
    service: service ?? null,
    to: drain.to,
    start: timeText(drain.start),
    rampSeconds: drain.rampMs / 1000,
    until: timeText(drain.until),
    services: effects,
    problems: findings.map(({ check, code, message }) => ({ check, code, message })),
    written,
  };
}

/** The plan of a drain for people. @param now milliseconds since the epoch */
export function drainText(plan: DrainPlan, asked: Asked, now: number): string {
  const { drain, before, effects, findings } = plan;
  const { cluster, written } = asked;
  const what = whatOf(asked);
  const lines = [
    `${written ? 'Draining' : 'Would drain'} ${what} to ${percentText(drain.to)}: ${descent(drain, now)}, until ${timeText(drain.until)} (${formatDuration(drain.until - now)})`,
    ...(before === undefined ? [] : [`It replaces ${described(before)}, and goes on from where that is.`]),
  ];
  // Where it was refused, the error says why.
  const warnings = (written ? findings : []).map(({ code, message }) => `[${code}] ${message}\n`).join('');
  return `${lines.join('\n')}\n\n${effectsText(effects, cluster)}${warnings === '' ? '' : `\n${warnings}`}`;
}

/** What a target asks for, for people. @param now milliseconds since the epoch */
export function gatewayDrainText(
  drain: FailoverDrain,
  { written }: { readonly written: boolean },
  now: number,
): string {
  const said = `${percentText(drain.to)}: ${descent(drain, now)}, until ${timeText(drain.until)}`;
  return `${written ? 'This cluster asks' : 'This cluster would ask'} sources to drain it to ${said} (${formatDuration(drain.until - now)})\n`;
}

/** The end of a drain for people. */
export function undrainText(drain: FailoverDrain | undefined, asked: Asked): string {
  const what = whatOf(asked);
  if (drain === undefined) return `${what} is not drained\n`;
  const back = drain.rampMs === 0 ? 'at once' : `over ${formatDuration(drain.rampMs)}`;
  return `${asked.written ? `${what} is drained no longer` : `Would end the drain of ${what}`}: its share comes back ${back}\n`;
}

/** The end of a drill that took connections, or endpoints, for dead. */
export function endedDrillText(drill: ConnectionDrill | undefined, of: string, dryRun: boolean): string {
  if (drill === undefined) return '';
  const who = drill.by === undefined ? '' : ` by ${drill.by}`;
  const what = `the drill "${drill.kind}" of ${of}${who}`;
  return dryRun ? `Would end ${what}\n` : `${what[0]?.toUpperCase()}${what.slice(1)} is over\n`;
}

/** One line while it is waited for. @param left milliseconds */
export function waitText(subject: Subject, left: number): string {
  return `${whatOf(subject)} is being drained, ${formatDuration(Math.ceil(left / 1000) * 1000)} left`;
}

/** What is said when it has come to its end. */
export function drainedText(subject: Subject): string {
  return `${whatOf(subject)} is drained`;
}

function whatOf({ cluster, service }: Subject): string {
  return service === undefined ? cluster : `${cluster} in ${service}`;
}

function effectsText(effects: readonly DrainEffect[], cluster: string): string {
  if (effects.length === 0)
    return `Neither a federated Service nor one without selector is served by ${cluster}. Mirrors of single Services have nobody beside them, and are not drained.\n`;
  const rows = effects.map(({ service, share, shareThen, capacityAfter, sole }) => [
    service,
    percentText(share),
    percentText(shareThen),
    sole ? 'nobody else' : percentText(capacityAfter),
  ]);
  return table(['SERVICE', 'NOW', 'THEN', 'CAPACITY THEN'], rows) + unknownText(effects);
}

/** Of which backends the capacity is not known; those whose endpoints a mirror has no facts of. */
function unknownText(effects: readonly DrainEffect[]): string {
  const some = effects.filter(({ unknown = [] }) => unknown.length > 0);
  const lines = some.slice(0, MAX_UNKNOWN).map(({ service, unknown = [] }) => {
    const more = unknown.length > MAX_UNKNOWN ? ', …' : '';
    return `Of ${service} it is not known how many endpoints there are of ${unknown.slice(0, MAX_UNKNOWN).join(', ')}${more}: reckoned by the share of now.\n`;
  });
  return lines.length === 0 ? '' : `\n${lines.join('')}${some.length > MAX_UNKNOWN ? '…\n' : ''}`;
}

function descent({ start, rampMs }: FailoverDrain, now: number): string {
  const left = start + rampMs - now;
  return left <= 0 ? 'at once' : `over ${formatDuration(Math.round(left / 1000) * 1000 || left)}`;
}

function described({ to, until, by, reason }: FailoverDrain): string {
  const who = by === undefined ? '' : ` by ${by}`;
  const why = reason === undefined ? '' : ` (${reason})`;
  return `the drain to ${percentText(to)}${who}${why} until ${timeText(until)}`;
}

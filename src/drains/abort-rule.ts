import { errorRate, p99, type ServiceTraffic, type Traffic } from './egress-traffic.ts';

/** When what clients get is too bad to go on. */
export interface AbortRule {
  /** The part of responses that may be failures, 0 to 1; undefined: it is not looked at. */
  readonly errors: number | undefined;
  /** How many times as long as usual the slowest hundredth may take; undefined: it is not looked at. */
  readonly p99: number | undefined;
}

/** That of a drain that is waited for: how long requests take says where they go, and is no trouble. */
export const DRAIN_RULE: AbortRule = { errors: 0.01, p99: undefined };
/** Failures may be that many times as frequent as usual, whatever part that is. */
const USUAL_TIMES = 2;
/**
 * Fewer responses than this say nothing, but where half of them are failures, and these are not one or two.
 */
const MIN_RESPONSES = 50;
const MIN_FAILURES = 5;

/**
 * Reads `errors>1%,p99>2x`.
 * @returns undefined where the text is not of that form
 */
export function readAbortRule(text: string): AbortRule | undefined {
  const rule: { errors?: number; p99?: number } = {};
  for (const part of text.split(',')) {
    const found = /^(errors|p99)>(\d{1,4}(?:\.\d{1,3})?)(%|x)$/.exec(part.trim());
    const [, what, amount, unit] = found ?? [];
    if (what === 'errors' && unit === '%' && Number(amount) <= 100) rule.errors = Number(amount) / 100;
    else if (what === 'p99' && unit === 'x' && Number(amount) > 1) rule.p99 = Number(amount);
    else return undefined;
  }
  return { errors: rule.errors, p99: rule.p99 };
}

/**
 * What is too bad, one line for each Service; none: all is well. Pure.
 * @param recent what was counted in the last seconds
 * @param usual what was counted before, as long as there is anything
 */
export function troubleIn(recent: Traffic, usual: Traffic, rule: AbortRule): string[] {
  return [...recent].flatMap(([service, now]) => {
    const why = troubleOf(now, usual.get(service), rule);
    return why === undefined ? [] : [`${service}: ${why}`];
  });
}

function troubleOf(
  now: ServiceTraffic,
  usual: ServiceTraffic | undefined,
  rule: AbortRule,
): string | undefined {
  return tooManyFailures(now, usual, rule) ?? tooSlow(now, usual, rule);
}

function tooManyFailures(
  now: ServiceTraffic,
  usual: ServiceTraffic | undefined,
  { errors }: AbortRule,
): string | undefined {
  const [rate, before] = [errorRate(now), usual === undefined ? 0 : errorRate(usual)];
  const saysSomething = now.responses >= MIN_RESPONSES || (rate >= 0.5 && now.failures >= MIN_FAILURES);
  if (errors === undefined || !saysSomething || rate <= errors || rate <= USUAL_TIMES * before)
    return undefined;
  return `${percent(rate)} of responses are failures, ${percent(before)} before`;
}

function tooSlow(
  now: ServiceTraffic,
  usual: ServiceTraffic | undefined,
  rule: AbortRule,
): string | undefined {
  if (rule.p99 === undefined || now.responses < MIN_RESPONSES || usual === undefined) return undefined;
  const [slow, usually] = [p99(now), p99(usual)];
  if (slow === undefined || usually === undefined || slow <= rule.p99 * usually) return undefined;
  return `p99 is ${Math.round(slow)} ms, ${Math.round(usually)} ms before`;
}

function percent(part: number): string {
  return `${Number((part * 100).toFixed(2))}%`;
}

import type { TapFilter } from '../api/answers/tap-events.ts';
import { NamePatterns } from '../api/link/import-policy.ts';
import type { AccessLog } from '../proxy/downstream/access-log.ts';
import { isFailedAnswer } from '../proxy/http/classify.ts';
import { pathOf, targetOf, type TapPlaces } from './tap-event.ts';

/** Texts whose verdict is kept; there can be as many names as clients can think of. */
const MAX_KEPT = 10_000;

/**
 * A filter as a function of a flow that has ended. What is asked of the target is looked up once for each,
 * and so is what is asked of the client. Where a target leads to several clusters (`TapFilter.cluster`) only
 * its endpoint says which: it passes here.
 */
export function compileFilter(filter: TapFilter, places: TapPlaces): AccessLog['wants'] {
  const checks = flowChecks(filter);
  const from = filter.from === undefined ? undefined : new NamePatterns([filter.from]);
  const isWanted = remembered(targetCheck(filter, places));
  const isFrom = from && remembered((name) => from.matches(name));
  return (session, flow, failure) =>
    isWanted(session.target.label) &&
    checks.every((check) => check(session, flow, failure)) &&
    (isFrom === undefined || isFrom(session.clientName));
}

/** A check that is made once for each text, as long as these are not too many. */
function remembered(check: (text: string) => boolean): (text: string) => boolean {
  const known = new Map<string, boolean>();
  return (text) => {
    let verdict = known.get(text);
    if (verdict !== undefined) return verdict;
    if (known.size >= MAX_KEPT) known.clear();
    verdict = check(text);
    known.set(text, verdict);
    return verdict;
  };
}

/**
 * The same of one that is still under way: what only its end says is left out, and what only asks for an end
 * is never met.
 */
export function compileOpenFilter(filter: TapFilter, places: TapPlaces): AccessLog['wants'] {
  const { failures, status } = filter;
  if (failures === true || status !== undefined) return () => false;
  return compileFilter({ ...filter, minLatencyMs: undefined }, places);
}

/** What a filter asks of a target is known of its label. */
interface TargetFacts {
  readonly label: string;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly cluster: string | undefined;
}

function targetCheck(filter: TapFilter, places: TapPlaces): (label: string) => boolean {
  const { side, cluster } = filter;
  if (side !== undefined && side !== places.process) return () => false;
  if (cluster !== undefined && places.process === 'gateway') return () => false;
  const checks = targetChecks(filter);
  return (label) => {
    const target = targetOf(label, places.process);
    const name = target.mirror ?? target.service ?? target.name;
    const facts = { label, name, namespace: target.namespace, cluster: places.clusterOf(label) };
    return checks.every((check) => check(facts));
  };
}

function targetChecks({ namespace, service, cluster, to }: TapFilter): ((facts: TargetFacts) => boolean)[] {
  const checks: ((facts: TargetFacts) => boolean)[] = [];
  if (namespace !== undefined) checks.push((facts) => facts.namespace === namespace);
  if (service !== undefined) checks.push(({ name }) => name === service);
  if (cluster !== undefined) checks.push((facts) => (facts.cluster ?? cluster) === cluster);
  if (to === undefined) return checks;
  const pattern = new NamePatterns([to]);
  const among = (facts: TargetFacts) => [facts.label, facts.name, `${facts.namespace ?? ''}/${facts.name}`];
  checks.push((facts) => among(facts).some((text) => pattern.matches(text)));
  return checks;
}

function flowChecks(filter: TapFilter): AccessLog['wants'][] {
  const { method, path, status, failures, minLatencyMs, protocol } = filter;
  const checks: AccessLog['wants'][] = [];
  if (protocol !== undefined) checks.push((_, flow) => protocol.includes(flow.protocol));
  if (failures === true)
    checks.push((_, flow, failure) => failure !== undefined || isFailedAnswer(flow.status, flow.grpcStatus));
  if (status !== undefined) checks.push((_, flow) => isAmong(status, flow.status));
  if (method !== undefined)
    checks.push((_, flow) => flow.method !== undefined && method.includes(flow.method));
  if (path !== undefined) checks.push((_, flow) => pathOf(flow)?.startsWith(path) === true);
  if (minLatencyMs !== undefined)
    checks.push(({ clock }, flow) => clock.monotonic() - flow.startedAt >= minLatencyMs);
  return checks;
}

function isAmong(asked: readonly string[], status: number | undefined): boolean {
  const text = String(status);
  return status !== undefined && (asked.includes(text) || asked.includes(`${text.slice(0, 1)}xx`));
}

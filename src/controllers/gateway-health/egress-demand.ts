import { type DemandReport, MAX_DEMANDS } from '../../api/answers/demand-report.ts';
import { notifyAll } from '../../base/isolation.ts';
import { type Demand, isStrained } from '../../policy/failover/demand.ts';
import { FRESH_MS } from './trunk-verdict.ts';

/** For how long a Service counts as strained after its requests have last failed or waited, milliseconds. */
const STRAINED_MS = 60_000;
const WHAT = 'demand at the egress';

/** What egress pods have met when they asked the backends of Services. */
export interface DemandWitness {
  /**
   * @param service `namespace/name`
   * @returns undefined: pods have not been asked for long enough to tell
   */
  of(service: string): Demand | undefined;
  /** Calls `listener` when that has changed for some Service. @returns what ends that */
  follow(listener: () => void): () => void;
}

/** What is known of one pod. */
interface PodDemand {
  /** When it was heard last. */
  readonly at: number;
  /** What it has said then. */
  readonly reports: ReadonlyMap<string, DemandReport>;
  /** Services that it has named twice: of the others nothing is known but what was before it was asked. */
  readonly heard: ReadonlySet<string>;
  /** When requests have last failed or waited there, by Service; the longest ago comes first. */
  readonly strained: Map<string, number>;
}

/**
 * Whether requests fail or wait, by what egress pods say each time that they are asked. One pod is enough for
 * a Service to be strained, so that none can hide what another has met, nor one that is gone what it had met;
 * and as long as no pod has named it twice within 10 s it is `unheard`.
 */
export class EgressDemand implements DemandWitness {
  readonly #pods = new Map<string, PodDemand>();
  readonly #listeners = new Set<() => void>();
  #verdicts: ReadonlyMap<string, Demand> = new Map();
  #askedSince: number | undefined;
  #isEarly = true;

  of(service: string): Demand | undefined {
    return this.#verdicts.get(service) ?? (this.#isEarly ? undefined : 'unheard');
  }

  follow(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A pod has answered. @param now monotonic milliseconds */
  heard(pod: string, list: readonly DemandReport[], now: number): void {
    const before = this.#pods.get(pod);
    const strained = before?.strained ?? new Map<string, number>();
    const reports = new Map(list.slice(0, MAX_DEMANDS).map((one) => [one.service, one]));
    const heard = new Set<string>();
    for (const [service, report] of reports) {
      const last = before?.reports.get(service);
      if (last === undefined) continue;
      heard.add(service);
      if (!isStrained(last, report)) continue;
      strained.delete(service);
      strained.set(service, now);
    }
    // One that makes up names each time forgets its own, and nobody else's.
    for (const service of strained.keys())
      if (strained.size > MAX_DEMANDS) strained.delete(service);
      else break;
    this.#pods.set(pod, { at: now, reports, heard, strained });
  }

  /** All pods that there are were asked. @param now monotonic milliseconds */
  settle(now: number): void {
    const [before, wasEarly] = [this.#verdicts, this.#isEarly];
    this.#askedSince ??= now;
    this.#isEarly = now - this.#askedSince <= FRESH_MS;
    this.#forget(now);
    this.#verdicts = this.#judge(now);
    if (wasEarly !== this.#isEarly || !isSame(before, this.#verdicts)) notifyAll(WHAT, this.#listeners);
  }

  /** Nobody asks any more. */
  rest(): void {
    this.#pods.clear();
    this.#verdicts = new Map();
    this.#askedSince = undefined;
    this.#isEarly = true;
  }

  #forget(now: number): void {
    for (const [name, { at, strained }] of this.#pods) {
      for (const [service, last] of strained)
        if (now - last >= STRAINED_MS) strained.delete(service);
        else break;
      if (now - at > FRESH_MS && strained.size === 0) this.#pods.delete(name);
    }
  }

  #judge(now: number): Map<string, Demand> {
    const pods = [...this.#pods.values()];
    const strained = new Set(pods.flatMap((pod) => [...pod.strained.keys()]));
    const verdicts = new Map<string, Demand>();
    for (const { at, heard } of pods) {
      if (now - at > FRESH_MS) continue;
      for (const service of heard) verdicts.set(service, strained.has(service) ? 'strained' : 'met');
    }
    return verdicts;
  }
}

function isSame(a: ReadonlyMap<string, Demand>, b: ReadonlyMap<string, Demand>): boolean {
  return a.size === b.size && a.entries().every(([service, one]) => b.get(service) === one);
}

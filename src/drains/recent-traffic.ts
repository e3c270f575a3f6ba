import { type ServiceTraffic, type Traffic, trafficBetween } from './egress-traffic.ts';

/** What counts as recent, milliseconds. */
const RECENT_MS = 10_000;

/** What the pods of the egress have counted. */
export interface EgressPages {
  /** By pod, or by URL. */
  readonly traffic: ReadonlyMap<string, Traffic>;
  /** Those that did not answer, and why. */
  readonly silent: ReadonlyMap<string, string>;
}

/** `pod: why` of those that did not answer, sorted. */
export function silentTexts({ silent }: EgressPages): string[] {
  return [...silent].map(([pod, why]) => `${pod}: ${why}`).sort();
}

interface Look {
  readonly at: number;
  readonly traffic: Map<string, Traffic>;
}

/**
 * What the egress has counted, as it was looked at: what is usual, and what was counted lately. A pod that
 * does not answer is taken to stand where it stood: what it counts meanwhile belongs to its next answer, and
 * what one that was silent at the first look has counted before its first answer is what is usual.
 */
export class RecentTraffic {
  /** By pod: its first answer, of those that were there at the first look. */
  readonly #first: Map<string, Traffic>;
  /** They were there at the first look, and have not answered yet. */
  readonly #unheard: Set<string>;
  readonly #looks: Look[];
  #usual: Traffic;

  /** @param at monotonic milliseconds */
  constructor(at: number, { traffic, silent }: EgressPages) {
    this.#first = new Map(traffic);
    this.#unheard = new Set(silent.keys());
    this.#usual = trafficBetween(new Map(), this.#first);
    this.#looks = [{ at, traffic: new Map(traffic) }];
  }

  /** What was counted before each pod was heard first, since it has run. */
  get usual(): Traffic {
    return this.#usual;
  }

  /** Takes in a look. @returns what was counted since the look before it, and in the last seconds */
  see(
    at: number,
    { traffic, silent }: EgressPages,
  ): { readonly now: Map<string, ServiceTraffic>; readonly recent: Map<string, ServiceTraffic> } {
    for (const [pod, its] of traffic) if (this.#unheard.delete(pod)) this.#hearFirst(pod, its);
    const before = this.#looks.at(-1)?.traffic ?? new Map<string, Traffic>();
    const stood = [...before].filter(([pod]) => silent.has(pod));
    const known = new Map([...stood, ...traffic]);
    this.#looks.push({ at, traffic: known });
    while ((this.#looks[1]?.at ?? at) <= at - RECENT_MS) this.#looks.shift();
    return {
      now: trafficBetween(before, known),
      recent: trafficBetween(this.#looks[0]?.traffic ?? new Map(), known),
    };
  }

  /** As if it had said it from the first look on. */
  #hearFirst(pod: string, its: Traffic): void {
    this.#first.set(pod, its);
    this.#usual = trafficBetween(new Map(), this.#first);
    for (const { traffic } of this.#looks) traffic.set(pod, its);
  }
}

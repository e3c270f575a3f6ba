import { type ServiceTraffic, type Traffic, trafficBetween } from './egress-traffic.ts';

/** What counts as recent, milliseconds. */
const RECENT_MS = 10_000;
/** Who sees nothing for so long is blind, milliseconds; a look may take as long. */
export const BLIND_MS = 5000;

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

/** Why nothing can be seen of what clients get; undefined: a pod has said what it counted. */
export function whyUnseen(pages: EgressPages): string | undefined {
  if (pages.traffic.size > 0) return undefined;
  return pages.silent.size === 0 ? 'there is no egress pod' : silentTexts(pages).join('; ');
}

interface Look {
  readonly at: number;
  readonly traffic: Map<string, Traffic>;
}

/** What one look has shown. */
interface Seen {
  readonly now: Map<string, ServiceTraffic>;
  readonly recent: Map<string, ServiceTraffic>;
  readonly unseen: string | undefined;
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
  /** There was a pod that could be asked. */
  #wasAny: boolean;
  #usual: Traffic;

  /** @param at monotonic milliseconds */
  constructor(at: number, { traffic, silent }: EgressPages) {
    this.#first = new Map(traffic);
    this.#unheard = new Set(silent.keys());
    this.#wasAny = traffic.size + silent.size > 0;
    this.#usual = trafficBetween(new Map(), this.#first);
    this.#looks = [{ at, traffic: new Map(traffic) }];
  }

  /** What was counted before each pod was heard first, since it has run. */
  get usual(): Traffic {
    return this.#usual;
  }

  /**
   * Takes in a look.
   * @returns what was counted since the look before it, and in the last seconds; and why nothing can be seen
   * (undefined: somebody answers, or there was never a pod that clients could have come to)
   */
  see(at: number, pages: EgressPages): Seen {
    const { traffic, silent } = pages;
    this.#wasAny ||= traffic.size + silent.size > 0;
    for (const [pod, its] of traffic) if (this.#unheard.delete(pod)) this.#hearFirst(pod, its);
    const before = this.#looks.at(-1)?.traffic ?? new Map<string, Traffic>();
    const stood = [...before].filter(([pod]) => silent.has(pod));
    const known = new Map([...stood, ...traffic]);
    this.#looks.push({ at, traffic: known });
    while ((this.#looks[1]?.at ?? at) <= at - RECENT_MS) this.#looks.shift();
    return {
      now: trafficBetween(before, known),
      recent: trafficBetween(this.#looks[0]?.traffic ?? new Map(), known),
      unseen: this.#wasAny ? whyUnseen(pages) : undefined,
    };
  }

  /** As if it had said it from the first look on. */
  #hearFirst(pod: string, its: Traffic): void {
    this.#first.set(pod, its);
    this.#usual = trafficBetween(new Map(), this.#first);
    for (const { traffic } of this.#looks) traffic.set(pod, its);
  }
}

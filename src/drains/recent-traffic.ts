import { type ServiceTraffic, type Traffic, trafficBetween } from './egress-traffic.ts';

/** What counts as recent, milliseconds. */
const RECENT_MS = 10_000;

/** What the egress has counted, as it was looked at: what is usual, and what was counted lately. */
export class RecentTraffic {
  /** What was counted before the first look, since each pod has run. */
  readonly usual: Traffic;
  readonly #looks: { readonly at: number; readonly traffic: ReadonlyMap<string, Traffic> }[];

  /** @param at monotonic milliseconds @param traffic by pod */
  constructor(at: number, traffic: ReadonlyMap<string, Traffic>) {
    this.usual = trafficBetween(new Map(), traffic);
    this.#looks = [{ at, traffic }];
  }

  /** Takes in a look. @returns what was counted since the look before it, and in the last seconds */
  see(
    at: number,
    traffic: ReadonlyMap<string, Traffic>,
  ): { readonly now: Map<string, ServiceTraffic>; readonly recent: Map<string, ServiceTraffic> } {
    const now = trafficBetween(this.#looks.at(-1)?.traffic ?? new Map(), traffic);
    this.#looks.push({ at, traffic });
    while ((this.#looks[1]?.at ?? at) <= at - RECENT_MS) this.#looks.shift();
    return { now, recent: trafficBetween(this.#looks[0]?.traffic ?? new Map(), traffic) };
  }
}

import { isDeepStrictEqual } from 'node:util';
import type { Rows, RowsPage } from '../../api/answers/answer-page.ts';
import { type DemandReport, EGRESS_DEMAND_PAGE } from '../../api/answers/demand-report.ts';
import { EGRESS_TRUNKS_PAGE, MAX_TRUNKS, type TrunkReport } from '../../api/answers/trunk-report.ts';
import { formatAddress, type SocketAddress } from '../../base/address.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { notifyAll } from '../../base/isolation.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { anonymousAccess } from '../../kube/client/access.ts';
import { KubeClient } from '../../kube/client/kube-client.ts';
import type { Logger } from '../../telemetry/log.ts';
import { type DemandWitness, EgressDemand } from './egress-demand.ts';
import { lostTrunks, type PodEvidence, trunkKey } from './trunk-verdict.ts';

/** Time between the beginnings of two looks, milliseconds; a tenth more or less. */
const PERIOD_MS = 2000;
/** Time for a pod to answer, milliseconds, and the longest answer, bytes. */
const ANSWER_MS = 1000;
const MAX_ANSWER_BYTES = 1024 * 1024;
/** Most pods that are asked; beyond it the first ones speak for all. */
const MAX_PODS = 64;
/** Most addresses of one look that have a line each: a pod may make up thousands. */
const MAX_TOLD = 16;
const WHAT = 'evidence of the egress';

/** Asks one pod. @throws when it does not answer in time, or with no list */
export type Ask<T> = (pod: SocketAddress, signal: AbortSignal) => Promise<Rows<T>>;

/** What egress pods are asked. */
export interface EgressQuestions {
  /** What it can reach. */
  readonly trunks: Ask<TrunkReport>;
  /** How requests fare; pods of an older version do not know. */
  readonly demand: Ask<DemandReport>;
}

/** Where the egress pods are, and how they are asked. */
export interface EgressEvidenceOptions {
  /** Admin ports of ready egress pods, as kube's slices of the Service `linkspan-egress` say. */
  readonly pods: () => readonly SocketAddress[];
  readonly ask: EgressQuestions;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Whether egress pods can reach gateways. */
export interface TrunkWitness {
  /** Whether at least half of those that have tried the address cannot reach it. */
  isLost(host: string, port: number, identity: string): boolean;
  /** Calls `listener` when that has changed for some address. @returns what ends that */
  follow(listener: () => void): () => void;
}

/**
 * What egress pods have found out by the connections that carry their clients' data: which gateway addresses
 * they can reach, and how requests fare. Probes go to another port, from another node: they may pass while
 * data dies. All pods are asked, every 2 s, while anybody wants to know (ADR 0041).
 */
export class EgressEvidence implements TrunkWitness {
  /** How requests fare. */
  readonly demand: DemandWitness;
  readonly #options: EgressEvidenceOptions;
  readonly #demand = new EgressDemand();
  readonly #heard = new Map<string, PodEvidence>();
  readonly #listeners = new Set<() => void>();
  /** Those who want to know. */
  readonly #askers = new Set<object>();
  #lost: ReadonlySet<string> = new Set();
  #timer: Timer | undefined;
  #stopping = new AbortController();
  #silent = 0;
  #skipped = 0;

  constructor(options: EgressEvidenceOptions) {
    this.#options = options;
    const demand = this.#demand;
    this.demand = {
      of: (service) => demand.of(service),
      follow: (listener) => this.#want(demand.follow(listener)),
    };
  }

  /** How many egress pods did not say what they can reach when they were asked last. */
  get silent(): number {
    return this.#silent;
  }

  /** How many entries of their answers could not be read when they were asked last. */
  get skipped(): number {
    return this.#skipped;
  }

  /** How many gateway addresses count as lost. */
  get lost(): number {
    return this.#lost.size;
  }

  isLost(host: string, port: number, identity: string): boolean {
    return this.#lost.has(trunkKey(host, port, identity));
  }

  follow(listener: () => void): () => void {
    this.#listeners.add(listener);
    return this.#want(() => this.#listeners.delete(listener));
  }

  /** Ends what is under way. */
  stop(): void {
    this.#listeners.clear();
    this.#askers.clear();
    this.#rest();
  }

  /** Somebody wants to know. @param end what ends that @returns as `end` */
  #want(end: () => void): () => void {
    const asker = {};
    this.#askers.add(asker);
    if (this.#askers.size === 1) this.#lookAfter(0);
    return () => {
      end();
      if (this.#askers.delete(asker) && this.#askers.size === 0) this.#rest();
    };
  }

  /** Nobody wants to know any more. */
  #rest(): void {
    this.#stopping.abort(new Error('nobody asks'));
    this.#stopping = new AbortController();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#heard.clear();
    this.#lost = new Set();
    this.#demand.rest();
  }

  #lookAfter(ms: number): void {
    const { signal } = this.#stopping;
    this.#timer = this.#options.clock.after(ms, () => void this.#look(signal), { unref: true });
  }

  /** Asks all, and sees to it that they are asked again, whatever goes wrong. Never rejects. */
  async #look(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#options;
    const begun = clock.monotonic();
    try {
      await this.#askAll(signal);
    } catch (err) {
      log.error({ err }, 'egress pods not asked');
    }
    if (signal.aborted) return;
    const period = PERIOD_MS * (0.9 + 0.2 * random());
    this.#lookAfter(Math.max(0, begun + period - clock.monotonic()));
    this.#judge(clock.monotonic());
  }

  async #askAll(signal: AbortSignal): Promise<void> {
    const asked = this.#options.pods().slice(0, MAX_PODS);
    const names = new Set(asked.map(formatAddress));
    for (const name of this.#heard.keys()) if (!names.has(name)) this.#heard.delete(name);
    const { ask, clock } = this.#options;
    const answers = await Promise.all(
      asked.map(async (pod) => {
        const name = formatAddress(pod);
        const [trunks, demand] = await Promise.all([
          this.#ask(ask.trunks, pod, signal),
          this.#ask(ask.demand, pod, signal),
        ]);
        if (signal.aborted) return { isSilent: false, skipped: 0 };
        const at = clock.monotonic();
        if (trunks !== undefined) this.#heard.set(name, { at, trunks: trunks.rows.slice(0, MAX_TRUNKS) });
        if (demand !== undefined) this.#demand.heard(name, demand.rows, at);
        const skipped = (trunks?.skipped ?? 0) + (demand?.skipped ?? 0);
        return { isSilent: trunks === undefined, skipped };
      }),
    );
    this.#silent = answers.filter(({ isSilent }) => isSilent).length;
    this.#skipped = answers.reduce((sum, { skipped }) => sum + skipped, 0);
  }

  async #ask<T>(ask: Ask<T>, pod: SocketAddress, stop: AbortSignal): Promise<Rows<T> | undefined> {
    const { log } = this.#options;
    const name = formatAddress(pod);
    try {
      const answer = await ask(pod, stop);
      if (answer.skipped > 0)
        log.debug({ pod: name, count: answer.skipped }, 'entries of the answer of an egress pod not read');
      return answer;
    } catch (error) {
      log.debug({ pod: name, cause: messageOf(error) }, 'egress pod did not answer');
      return undefined;
    }
  }

  #judge(now: number): void {
    this.#demand.settle(now);
    const lost = lostTrunks(this.#heard.values(), now);
    if (isDeepStrictEqual(lost, this.#lost)) return;
    this.#tell(lost);
    this.#lost = lost;
    notifyAll(WHAT, this.#listeners);
  }

  #tell(lost: ReadonlySet<string>): void {
    const { log } = this.#options;
    const gone = [...lost].filter((gateway) => !this.#lost.has(gateway));
    const back = [...this.#lost].filter((gateway) => !lost.has(gateway));
    for (const gateway of gone.slice(0, MAX_TOLD))
      log.warn({ gateway }, 'gateway address out of reach for the egress');
    for (const gateway of back.slice(0, MAX_TOLD))
      log.info({ gateway }, 'gateway address within reach of the egress again');
    const untold = [gone, back].reduce((sum, { length }) => sum + Math.max(0, length - MAX_TOLD), 0);
    if (untold > 0)
      log.warn({ count: untold }, 'further gateway addresses out of reach, or within reach again');
  }
}

/** Asks by HTTP, with limits of time and bytes. */
export function askEgress(shared: { readonly clock: Clock; readonly random: Random }): EgressQuestions {
  const asking =
    <T>({ path, read }: RowsPage<T>): Ask<T> =>
    async (pod, signal) => {
      const client = new KubeClient(anonymousAccess(`http://${formatAddress(pod)}`), {
        ...shared,
        maxTries: 1,
        timeoutMs: ANSWER_MS,
        limits: { bytes: MAX_ANSWER_BYTES, ms: ANSWER_MS },
      });
      try {
        return read(await client.raw('GET', path, { signal }));
      } finally {
        await client.close();
      }
    };
  return { trunks: asking(EGRESS_TRUNKS_PAGE), demand: asking(EGRESS_DEMAND_PAGE) };
}

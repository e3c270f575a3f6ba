import { isDeepStrictEqual } from 'node:util';
import { EGRESS_TRUNKS_PAGE, MAX_TRUNKS } from '../../api/answers/trunk-report.ts';
import { formatAddress, type SocketAddress } from '../../base/address.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { notifyAll } from '../../base/isolation.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { anonymousAccess } from '../../kube/client/access.ts';
import { KubeClient } from '../../kube/client/kube-client.ts';
import type { Logger } from '../../telemetry/log.ts';
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

/** Asks one pod what it knows. @throws when it does not answer in time, or not as it should */
export type AskEgress = (pod: SocketAddress, signal: AbortSignal) => Promise<PodEvidence['trunks']>;

/** Where the egress pods are, and how they are asked. */
export interface EgressEvidenceOptions {
  /** Admin ports of ready egress pods, as kube's slices of the Service `linkspan-egress` say. */
  readonly pods: () => readonly SocketAddress[];
  readonly ask: AskEgress;
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
 * What egress pods have found out about gateway addresses by the connections that carry their clients' data.
 * Probes go to another port, from another node: they may pass while data dies. All pods are asked, every 2 s,
 * while anybody wants to know (ADR 0041).
 */
export class EgressEvidence implements TrunkWitness {
  readonly #options: EgressEvidenceOptions;
  readonly #heard = new Map<string, PodEvidence>();
  readonly #listeners = new Set<() => void>();
  #lost: ReadonlySet<string> = new Set();
  #timer: Timer | undefined;
  #stopping = new AbortController();
  #silent = 0;

  constructor(options: EgressEvidenceOptions) {
    this.#options = options;
  }

  /** How many egress pods did not answer when they were asked last. */
  get silent(): number {
    return this.#silent;
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
    if (this.#listeners.size === 1) this.#lookAfter(0);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#rest();
    };
  }

  /** Ends what is under way. */
  stop(): void {
    this.#listeners.clear();
    this.#rest();
  }

  /** Nobody wants to know any more. */
  #rest(): void {
    this.#stopping.abort(new Error('nobody asks'));
    this.#stopping = new AbortController();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#heard.clear();
    this.#lost = new Set();
  }

  #lookAfter(ms: number): void {
    const { signal } = this.#stopping;
    this.#timer = this.#options.clock.after(ms, () => void this.#look(signal), { unref: true });
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { pods, clock, random } = this.#options;
    const begun = clock.monotonic();
    const asked = pods().slice(0, MAX_PODS);
    const names = new Set(asked.map(formatAddress));
    for (const name of this.#heard.keys()) if (!names.has(name)) this.#heard.delete(name);
    const answers = await Promise.all(asked.map((pod) => this.#ask(pod, signal)));
    if (signal.aborted) return;
    this.#silent = answers.filter((answered) => !answered).length;
    const period = PERIOD_MS * (0.9 + 0.2 * random());
    this.#lookAfter(Math.max(0, begun + period - clock.monotonic()));
    const lost = lostTrunks(this.#heard.values(), clock.monotonic());
    if (isDeepStrictEqual(lost, this.#lost)) return;
    this.#tell(lost);
    this.#lost = lost;
    notifyAll(WHAT, this.#listeners);
  }

  async #ask(pod: SocketAddress, stop: AbortSignal): Promise<boolean> {
    const { ask, clock, log } = this.#options;
    const name = formatAddress(pod);
    try {
      const trunks = await ask(pod, stop);
      if (!stop.aborted)
        this.#heard.set(name, { at: clock.monotonic(), trunks: trunks.slice(0, MAX_TRUNKS) });
      return true;
    } catch (error) {
      log.debug({ pod: name, cause: messageOf(error) }, 'egress pod did not say what it can reach');
      return false;
    }
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
export function askEgress(shared: { readonly clock: Clock; readonly random: Random }): AskEgress {
  return async (pod, signal) => {
    const client = new KubeClient(anonymousAccess(`http://${formatAddress(pod)}`), {
      ...shared,
      maxTries: 1,
      timeoutMs: ANSWER_MS,
      limits: { bytes: MAX_ANSWER_BYTES, ms: ANSWER_MS },
    });
    try {
      return EGRESS_TRUNKS_PAGE.read(await client.raw('GET', EGRESS_TRUNKS_PAGE.path, { signal }));
    } finally {
      await client.close();
    }
  };
}

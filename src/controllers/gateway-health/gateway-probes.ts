import type { AddressHealth, AddressReport, AddressTry } from '../../api/answers/admin-answers.ts';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { reportContained } from '../../base/isolation.ts';
import type { Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { askedTogether } from '../../policy/failover/asked-drain.ts';
import type { Logger } from '../../telemetry/log.ts';
import {
  type AddressRecord,
  type GatewayAddressState,
  newAddress,
  nextAddress,
  probeTimeoutMs,
  type ProbeTiming,
} from './address-state.ts';
import type { ProbeOutcome, ProbeReason } from '../../api/reasons/probe-outcome.ts';
import type { Prober, ProbeTarget } from './probe-request.ts';

/** The probes of one gateway; `GatewayProbes` implements it. */
export interface GatewayHealth {
  /** The addresses to be probed: new ones at once; those that stay keep their state. */
  update(addresses: readonly string[]): void;
  stateOf(address: string): AddressHealth;
  readonly states: readonly AddressReport[];
  /** One probe of every address now, beside the regular ones; changes no state. */
  tryNow?(): Promise<readonly AddressTry[]>;
  stop(): void;
}

/** The gateway that is probed, and who hears what comes of it. */
export interface GatewayHealthOptions {
  /** Target cluster, for log and metrics. */
  readonly cluster: string;
  /** TLS identity that the gateway must prove. */
  readonly identity: string;
  readonly probe: {
    readonly path: string;
    readonly port: number;
    readonly periodMs: number;
    readonly timeoutMs: number;
    readonly failureThreshold: number;
  };
  /** The state of an address has changed. */
  readonly onChange: () => void;
  /** The state of an address is the same as before, for another reason. */
  readonly onReason?: () => void;
  /** A probe was answered. @param drain what the gateway's addresses together ask for */
  readonly onAnswer?: (drain: FailoverDrain | undefined) => void;
}

/** Begins to probe a gateway. */
export type GatewayHealthFactory = (options: GatewayHealthOptions) => GatewayHealth;

/** `probeSpec` of a Link. */
export interface GatewayProbeSpec extends ProbeTiming {
  readonly path: string;
  readonly port: number;
}

/** What is known of one address; for people and for the Link's status. */
export interface AddressProbeReport {
  readonly address: string;
  readonly state: GatewayAddressState;
  /** Why the last probe failed. */
  readonly reason: ProbeReason | undefined;
  readonly message: string;
  /** Of the last probe that was answered. */
  readonly latencyMs: number | undefined;
  /** Milliseconds since the epoch of the last change of state. */
  readonly since: number;
  /** Milliseconds since the epoch of the last outcome. */
  readonly checked: number | undefined;
}

/**
 * Who counts probes. `gateway` stands for the `GatewayProbes` object: after an edit of the Link a new one
 * starts before or after the old one of the same cluster stops.
 */
export interface ProbeObserver {
  started(cluster: string, gateway: object): void;
  probed(cluster: string, outcome: ProbeOutcome): void;
  /** Whether any address is alive. */
  alive(cluster: string, alive: boolean): void;
  stopped(cluster: string, gateway: object): void;
}

/** The gateway that is probed, by whom, and who hears what comes of it. */
export interface GatewayProbesOptions {
  readonly spec: GatewayProbeSpec;
  /** Identity that the gateway must prove where it demands mTLS. */
  readonly identity: string;
  /** Target cluster, for the log and metrics. */
  readonly cluster: string;
  readonly prober: Pick<Prober, 'probe' | 'probeForAsker'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly observer?: ProbeObserver;
  /** Called after the state of any address has changed. */
  readonly onChange: () => void;
  /** Called after an address whose state stays has got another reason or message. */
  readonly onReason?: () => void;
  /** Called after each answer, with what the gateway's addresses together ask for. */
  readonly onAnswer?: (drain: FailoverDrain | undefined) => void;
}

/** One address, with its next probe. */
interface ProbedAddress {
  readonly address: string;
  readonly stopping: AbortController;
  record: AddressRecord;
  timer: Timer | undefined;
  /** What it asked for when it answered last. */
  drain: FailoverDrain | undefined;
}

/**
 * Probes one gateway: each of its addresses by itself, one probe at a time, and none after `stop`.
 */
export class GatewayProbes {
  readonly #options: GatewayProbesOptions;
  readonly #addresses = new Map<string, ProbedAddress>();
  #stopped = false;

  constructor(options: GatewayProbesOptions) {
    this.#options = options;
    options.observer?.started(options.cluster, this);
  }

  /** The addresses to be probed: new ones at once; those that stay keep their state; others are forgotten. */
  update(addresses: readonly string[]): void {
    if (this.#stopped) return;
    const wanted = new Set(addresses);
    for (const probed of this.#addresses.values()) {
      if (!wanted.has(probed.address)) this.#forget(probed);
    }
    for (const address of wanted) {
      if (!this.#addresses.has(address)) this.#add(address);
    }
    this.#publish();
  }

  /** `unknown` for an address that is not probed. */
  stateOf(address: string): GatewayAddressState {
    return this.#addresses.get(address)?.record.state ?? 'unknown';
  }

  /** What is known of each address, in the order in which they were added. */
  get states(): readonly AddressProbeReport[] {
    return [...this.#addresses.values()].map(({ address, record }) => ({
      address,
      state: record.state,
      reason: record.reason,
      message: record.message,
      latencyMs: record.latencyMs,
      since: record.since,
      checked: record.checked,
    }));
  }

  /** One probe of every address now, for a person who asks; only the regular ones change states. */
  tryNow(): Promise<{ address: string; ok: boolean; message: string; latencyMs: number }[]> {
    const { prober } = this.#options;
    return Promise.all(
      [...this.#addresses.keys()].map(async (address) => {
        const outcome = await prober.probeForAsker(this.#target(address));
        const message = outcome.ok ? '' : `${outcome.reason}: ${outcome.message}`;
        return { address, ok: outcome.ok, message, latencyMs: outcome.latencyMs };
      }),
    );
  }

  #target(host: string): ProbeTarget {
    const { spec, identity } = this.#options;
    const { path, port } = spec;
    return { host, port, path, identity, timeoutMs: probeTimeoutMs(spec) };
  }

  /** Ends every probe; no listener is called any more. Idempotent. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const probed of this.#addresses.values()) this.#forget(probed);
    this.#options.observer?.stopped(this.#options.cluster, this);
  }

  #add(address: string): void {
    const record = newAddress(this.#options.clock.now());
    const probed = { address, stopping: new AbortController(), record, timer: undefined, drain: undefined };
    this.#addresses.set(address, probed);
    void this.#probe(probed);
  }

  #forget(probed: ProbedAddress): void {
    this.#addresses.delete(probed.address);
    probed.timer?.cancel();
    probed.stopping.abort();
  }

  async #probe(probed: ProbedAddress): Promise<void> {
    let delayMs = probeTimeoutMs(this.#options.spec);
    try {
      delayMs = await this.#turn(probed);
    } catch (error) {
      // An exception that nobody foresaw must not end the probes of an address: its state would never change
      // again.
      reportContained(error, 'probes of a gateway');
    }
    if (probed.stopping.signal.aborted) return;
    probed.timer = this.#options.clock.after(delayMs, () => void this.#probe(probed), { unref: true });
  }

  /** Probes once. @returns milliseconds until the next probe */
  async #turn(probed: ProbedAddress): Promise<number> {
    const { spec, prober, clock, random, observer, cluster } = this.#options;
    const { signal } = probed.stopping;
    const outcome = await prober.probe(this.#target(probed.address), signal);
    if (signal.aborted) return 0;
    observer?.probed(cluster, outcome);
    const current = probed.record;
    const facts = { timing: spec, current, outcome, now: clock.now(), jitter: random() };
    const { next, delayMs } = nextAddress(facts);
    probed.record = next;
    if (outcome.ok) this.#answered(probed, outcome.drain);
    if (next.state !== current.state) this.#changed(probed);
    else if (next.reason !== current.reason || next.message !== current.message) this.#options.onReason?.();
    return delayMs;
  }

  #answered(probed: ProbedAddress, drain: FailoverDrain | undefined): void {
    probed.drain = drain;
    this.#options.onAnswer?.(askedTogether([...this.#addresses.values()].map((one) => one.drain)));
  }

  #changed({ address, record }: ProbedAddress): void {
    const { log, cluster, onChange } = this.#options;
    const { state, reason, message, latencyMs } = record;
    if (state === 'alive') log.info({ cluster, address, latencyMs }, 'gateway address is alive');
    else log.warn({ cluster, address, reason, detail: message }, 'gateway address is dead');
    this.#publish();
    onChange();
  }

  #publish(): void {
    const alive = [...this.#addresses.values()].some(({ record }) => record.state === 'alive');
    this.#options.observer?.alive(this.#options.cluster, alive);
  }
}

import type { ConnectionDrill } from '../api/failover/connection-drill.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { notifyAll } from '../base/isolation.ts';
import type { TargetSource, TargetSpec } from '../discovery/target-spec.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';

/** Where a drill is said. */
export interface DrillSource {
  readonly drill: ConnectionDrill | undefined;
  /** Returns the unsubscriber. */
  subscribe(listener: () => void): () => void;
}

/**
 * The targets of a gateway, of which none has a ready endpoint while a drill of kind `endpoints` lasts. All
 * that follows is what follows where pods are really gone: requests are refused, and sources go elsewhere.
 */
export class DrilledTargets implements TargetSource {
  readonly #inner: TargetSource;
  readonly #source: DrillSource;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #listeners = new Set<(key: string) => void>();
  readonly #unsubscribe: readonly (() => void)[];
  #timer: Timer | undefined;
  #isOn = false;

  constructor(
    inner: TargetSource,
    source: DrillSource,
    parts: { readonly clock: Clock; readonly log: Logger },
  ) {
    this.#inner = inner;
    this.#source = source;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#unsubscribe = [inner.subscribe((key) => this.#tell(key)), source.subscribe(() => this.#follow())];
    this.#follow();
  }

  get(name: string, port: number): TargetSpec | undefined {
    const spec = this.#inner.get(name, port);
    if (spec === undefined || !this.#isOn) return spec;
    return { ...spec, endpoints: spec.endpoints.map((endpoint) => ({ ...endpoint, ready: false })) };
  }

  keys(): Iterable<string> {
    return this.#inner.keys();
  }

  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get ready(): Health {
    return this.#inner.ready;
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#inner.close();
  }

  /** Looks whether a drill is on, and again when that changes by itself. */
  #follow(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { drill } = this.#source;
    const now = this.#clock.now();
    const next = drill === undefined ? undefined : [drill.start, drill.until].find((at) => at > now);
    if (next !== undefined)
      this.#timer = this.#clock.after(next - now, () => this.#follow(), { unref: true });
    const isOn = drill?.kind === 'endpoints' && now >= drill.start && now < drill.until;
    if (isOn !== this.#isOn) this.#turn(isOn, drill);
  }

  #turn(isOn: boolean, drill: ConnectionDrill | undefined): void {
    this.#isOn = isOn;
    if (isOn && drill !== undefined) {
      const until = new Date(drill.until).toISOString();
      this.#log.warn({ until, by: drill.by }, 'drill: no endpoint counts as ready');
    } else this.#log.info('drill over: endpoints count as they are');
    for (const key of this.#inner.keys()) this.#tell(key);
  }

  #tell(key: string): void {
    notifyAll('targets of a drill', this.#listeners, key);
  }
}

import { expect } from 'chai';
import { GatewayProbes } from '../../../../src/controllers/gateway-health/gateway-probes.ts';
import { ProbeMetrics } from '../../../../src/controllers/gateway-health/probe-metrics.ts';
import type { ProbeOutcome } from '../../../../src/api/reasons/probe-outcome.ts';
import type { ProbeTarget } from '../../../../src/controllers/gateway-health/probe-request.ts';
import { Registry } from '../../../../src/telemetry/registry.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { useSurfaced } from '../../../support/surfaced.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const SPEC = { path: '/ready', port: 4191, periodMs: 3000, timeoutMs: 30_000, failureThreshold: 3 };
const WEST = '192.0.2.1';
const EAST = '192.0.2.2';

type Behaviour = 'answers' | 'refuses' | 'silent';

/** Addresses that behave as told, in virtual time. */
class Addresses {
  readonly behaviour = new Map<string, Behaviour>();
  readonly sent: ProbeTarget[] = [];
  readonly #clock: VirtualClock;
  readonly #running = new Map<string, number>();
  mostAtOnce = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  get running(): number {
    return [...this.#running.values()].reduce((sum, count) => sum + count, 0);
  }

  probeForAsker(target: ProbeTarget): Promise<ProbeOutcome> {
    return this.probe(target);
  }

  async probe(target: ProbeTarget, signal?: AbortSignal): Promise<ProbeOutcome> {
    this.sent.push(target);
    const count = (by: number) => {
      const running = (this.#running.get(target.host) ?? 0) + by;
      this.#running.set(target.host, running);
      this.mostAtOnce = Math.max(this.mostAtOnce, running);
    };
    count(1);
    const outcome = await this.#outcome(target, signal);
    count(-1);
    return outcome;
  }

  #outcome(target: ProbeTarget, signal?: AbortSignal): Promise<ProbeOutcome> {
    const behaviour = this.behaviour.get(target.host) ?? 'answers';
    return new Promise((resolve) => {
      const latencyMs = behaviour === 'silent' ? target.timeoutMs : 5;
      const timer = this.#clock.after(latencyMs, () =>
        resolve(
          behaviour === 'answers'
            ? { ok: true, latencyMs, via: 'http1' }
            : {
                ok: false,
                reason: behaviour === 'silent' ? 'ProbeTimeout' : 'ProbeRefused',
                message: behaviour,
                latencyMs,
              },
        ),
      );
      signal?.addEventListener('abort', () => {
        timer.cancel();
        resolve({ ok: false, reason: 'ProbeTimeout', message: 'the probe was stopped', latencyMs: 0 });
      });
    });
  }
}

function setup() {
  const clock = new VirtualClock();
  const addresses = new Addresses(clock);
  const { log, lines } = captureLog();
  const registry = new Registry();
  const metrics = new ProbeMetrics(registry);
  const changes: string[] = [];
  const begin = () =>
    new GatewayProbes({
      spec: SPEC,
      identity: 'gateway.west',
      cluster: 'west',
      prober: addresses,
      clock,
      random: () => 0.999,
      log,
      observer: metrics,
      onChange: () => changes.push(probes.states.map(({ state }) => state).join()),
    });
  const probes = begin();
  const series = async () =>
    (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return { clock, addresses, lines, registry, metrics, changes, probes, begin, series };
}

describe('the probes of a gateway', () => {
  const surfaced = useSurfaced();

  it('know nothing until the first answer', async () => {
    const { probes, clock } = setup();
    probes.update([WEST]);
    expect(probes.stateOf(WEST)).to.equal('unknown');
    await clock.advance(5);
    expect(probes.stateOf(WEST)).to.equal('alive');
  });

  // A rejection that nobody heard ended the probes of an address: it was alive, or dead, for ever.
  it('go on after a mistake in one of them', async () => {
    const { probes, addresses, clock, metrics } = setup();
    const probed = metrics.probed.bind(metrics);
    let failures = 0;
    metrics.probed = (...told) => {
      if (failures++ === 0) throw new TypeError('a bug');
      probed(...told);
    };
    probes.update([WEST]);
    await clock.advance(5);
    expect([probes.stateOf(WEST), surfaced.length]).to.deep.equal(['unknown', 1]);
    await clock.advance(3000);
    expect(probes.stateOf(WEST)).to.equal('alive');
    expect(addresses.sent.length).to.be.greaterThan(1);
  });

  it('call an address that they do not know unknown', () =>
    expect(setup().probes.stateOf(EAST)).to.equal('unknown'));

  it('go out at once, with the path, port, identity and useful time limit', async () => {
    const { probes, addresses } = setup();
    probes.update([WEST]);
    await settle();
    const target = { host: WEST, port: 4191, path: '/ready', identity: 'gateway.west', timeoutMs: 2000 };
    expect(addresses.sent).to.deep.equal([target]);
  });

  it('find an address dead that refuses from the start, after two refusals', async () => {
    const { probes, addresses, clock } = setup();
    addresses.behaviour.set(WEST, 'refuses');
    probes.update([WEST]);
    await clock.advance(260);
    expect(probes.stateOf(WEST)).to.equal('dead');
    expect(addresses.sent).to.have.length(2);
  });

  for (const [behaviour, withinMs] of [
    ['refuses', 3000],
    ['silent', 10_000],
  ] as const) {
    it(`withdraw an address that ${behaviour} within ${withinMs} ms, and have it back within a period`, async () => {
      const { probes, addresses, clock } = setup();
      probes.update([WEST]);
      await clock.advance(5);
      addresses.behaviour.set(WEST, behaviour);
      await clock.advance(withinMs);
      expect(probes.stateOf(WEST)).to.equal('dead');
      addresses.behaviour.set(WEST, 'answers');
      await clock.advance(3000);
      expect(probes.stateOf(WEST)).to.equal('alive');
    });
  }

  it('hold one address apart from another', async () => {
    const { probes, addresses, clock, changes } = setup();
    addresses.behaviour.set(WEST, 'silent');
    probes.update([WEST, EAST]);
    await clock.advance(5);
    expect(changes).to.deep.equal(['unknown,alive']);
    await clock.advance(10_000);
    expect(probes.states.map(({ state }) => state)).to.deep.equal(['dead', 'alive']);
    expect(addresses.sent.filter(({ host }) => host === EAST)).to.have.length(7);
  });

  it('never send two at a time to one address', async () => {
    const { probes, addresses, clock } = setup();
    addresses.behaviour.set(WEST, 'silent');
    probes.update([WEST]);
    for (let i = 0; i < 20; i++) {
      await clock.advance(333);
      probes.update([WEST, WEST]);
    }
    expect(addresses.mostAtOnce).to.equal(1);
  });

  it('can be asked for one request now, which says why it failed and changes no state', async () => {
    const { probes, addresses, clock, changes } = setup();
    probes.update([WEST, EAST]);
    await clock.advance(5);
    const before = [...changes];
    addresses.behaviour.set(WEST, 'refuses');
    const tried = probes.tryNow();
    await clock.advance(5);
    expect(await tried).to.deep.equal([
      { address: WEST, ok: false, message: 'ProbeRefused: refuses', latencyMs: 5 },
      { address: EAST, ok: true, message: '', latencyMs: 5 },
    ]);
    expect([changes, probes.stateOf(WEST)]).to.deep.equal([before, 'alive']);
  });

  it('keep the state of an address that stays, and forget one that goes', async () => {
    const { probes, clock } = setup();
    probes.update([WEST, EAST]);
    await clock.advance(5);
    const since = probes.states[0]?.since;
    await clock.advance(100);
    probes.update([WEST]);
    expect(probes.states).to.have.length(1);
    expect(probes.states[0]).to.include({ address: WEST, state: 'alive', since, latencyMs: 5 });
    probes.update([WEST, EAST]);
    expect(probes.stateOf(EAST)).to.equal('unknown');
  });

  it('disregard the outcome of a probe whose address has gone', async () => {
    const { probes, clock, changes, addresses } = setup();
    addresses.behaviour.set(WEST, 'silent');
    probes.update([WEST]);
    await settle();
    probes.update([]);
    await clock.advance(20_000);
    expect({ changes, running: addresses.running, pending: clock.pending }).to.deep.equal({
      changes: [],
      running: 0,
      pending: 0,
    });
  });

  it('tell of a change of state once, in the log and to the caller', async () => {
    const { probes, addresses, clock, changes, lines } = setup();
    probes.update([WEST]);
    await clock.advance(6000);
    addresses.behaviour.set(WEST, 'refuses');
    await clock.advance(6000);
    expect(changes).to.deep.equal(['alive', 'dead']);
    expect(lines.map(({ level, msg, reason }) => ({ level, msg, reason }))).to.deep.equal([
      { level: 'info', msg: 'gateway address is alive', reason: undefined },
      { level: 'warn', msg: 'gateway address is dead', reason: 'ProbeRefused' },
    ]);
  });

  it('leave nothing running when they are stopped', async () => {
    const { probes, addresses, clock } = setup();
    addresses.behaviour.set(WEST, 'silent');
    probes.update([WEST, EAST]);
    await clock.advance(5);
    probes.stop();
    probes.stop();
    probes.update([WEST]);
    await settle();
    expect([clock.pending, addresses.running]).to.deep.equal([0, 0]);
  });
});

describe('the metrics of the probes', () => {
  const WEST_LABEL = 'target_cluster_name="west"';

  it('say 0 for alive until an address answers', async () => {
    const { series, probes, clock } = setup();
    expect(await series()).to.include.members([
      `gateway_alive{${WEST_LABEL}} 0`,
      `gateway_enabled{${WEST_LABEL}} 1`,
    ]);
    probes.update([WEST]);
    await clock.advance(5);
    expect(await series()).to.include.members([
      `gateway_alive{${WEST_LABEL}} 1`,
      `gateway_latency{${WEST_LABEL}} 5`,
    ]);
  });

  it('say alive while any address is, and no longer when the last one has gone', async () => {
    const { series, probes, addresses, clock } = setup();
    addresses.behaviour.set(WEST, 'refuses');
    probes.update([WEST, EAST]);
    await clock.advance(5000);
    expect(await series()).to.include(`gateway_alive{${WEST_LABEL}} 1`);
    probes.update([WEST]);
    expect(await series()).to.include(`gateway_alive{${WEST_LABEL}} 0`);
  });

  it('count every probe, failures below the threshold too', async () => {
    const { series, probes, addresses, clock } = setup();
    probes.update([WEST]);
    await clock.advance(5);
    addresses.behaviour.set(WEST, 'refuses');
    await clock.advance(1660);
    expect(await series()).to.include.members([
      `gateway_probes{${WEST_LABEL},probe_successful="true"} 1`,
      `gateway_probes{${WEST_LABEL},probe_successful="false"} 1`,
    ]);
  });

  it("have Linkerd's buckets", async () => {
    const { series, probes, clock } = setup();
    probes.update([WEST]);
    await clock.advance(5);
    const lines = (await series()).filter((line) => line.startsWith('gateway_probe_latency_ms_bucket'));
    const bounds = lines.map((line) => Number(/le="([\d.]+)"/.exec(line)?.[1])).filter(Number.isFinite);
    const expected = [1, 10, 100, 1000, 10_000].flatMap((unit) => [1, 2, 3, 4, 5].map((n) => n * unit));
    expect(bounds).to.deep.equal(expected);
  });

  it('keep nothing of a cluster whose probes have stopped', async () => {
    const { series, probes, addresses, clock } = setup();
    addresses.behaviour.set(EAST, 'refuses');
    probes.update([WEST, EAST]);
    await clock.advance(5000);
    probes.stop();
    expect((await series()).filter((line) => line.includes('west'))).to.deep.equal([]);
  });

  it('keep those of the probes that have taken over before the old ones stopped', async () => {
    const { series, probes, begin } = setup();
    begin();
    probes.stop();
    expect(await series()).to.include(`gateway_enabled{${WEST_LABEL}} 1`);
  });
});

import { expect } from 'chai';
import type { FailoverDrain } from '../../../../src/api/failover/failover-drain.ts';
import { IpRanges } from '../../../../src/base/ip-ranges.ts';
import type { AddressHealth } from '../../../../src/api/answers/admin-answers.ts';
import { GatewayPath } from '../../../../src/controllers/gateway-health/gateway-path.ts';
import { gatewayRefusal } from '../../../../src/controllers/imports/remote-addresses.ts';
import { listedNames } from '../../../support/host-names.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/**
 * A path to a gateway whose names resolve to what the test says, and the addresses that were ever given to
 * the prober.
 */
function newPath(hosts: readonly string[], answers: Record<string, string[]>) {
  const clock = new VirtualClock();
  const probed = new Set<string>();
  const own = {
    ranges: { pod: new IpRanges([]), service: new IpRanges(['10.96.0.0/12']), node: new IpRanges([]) },
  };
  const path = new GatewayPath({
    cluster: 'west',
    hosts,
    port: 4143,
    identity: 'gw',
    own: false,
    probe: { path: '/ready', port: 4191, periodMs: 1000, timeoutMs: 1000, failureThreshold: 1 },
    health: () => ({
      update: (addresses) => addresses.forEach((address) => probed.add(address)),
      stateOf: () => 'alive',
      states: [],
      stop: () => undefined,
    }),
    names: listedNames(answers, clock),
    refusal: (address) => gatewayRefusal(address, { gatewayCidrs: new IpRanges([]) }, own),
    onChange: () => undefined,
  });
  path.start();
  const learn = (range: string) => (own.ranges.service = new IpRanges([range]));
  return { path, clock, probed, answers, learn };
}

describe('a host name of a gateway', () => {
  it('that resolves to loopback, link-local or an address of the source is never probed, and gets no endpoints', async () => {
    // DNS rebinding: the name's owner answers well at first, and with 127.0.0.1 when nobody looks any more.
    const { path, clock, probed, answers } = newPath(['gw.example.com'], {
      'gw.example.com': ['203.0.113.7'],
    });
    await clock.advance(0);
    expect(path.facts).to.deep.include({ path: 'alive', alive: ['203.0.113.7'] });
    answers['gw.example.com'] = ['127.0.0.1', '169.254.169.254', '::ffff:127.0.0.1', '10.96.0.1'];
    await clock.advance(5000);
    expect(path.facts).to.deep.include({ path: 'refused', known: [], alive: [] });
    expect(path.facts.refusal?.message).to.contain('127.0.0.1 (loopback)');
    answers['gw.example.com'] = ['127.0.0.1', '203.0.113.8'];
    await clock.advance(5000);
    expect(path.facts).to.deep.include({ path: 'alive', alive: ['203.0.113.8'] });
    expect([...probed]).to.deep.equal(['203.0.113.7', '203.0.113.8']);
    path.stop();
  });

  // The controller asked for IPv4 and stopped: a gateway whose IPv4 address answered nothing was dead,
  // whatever its IPv6 address did.
  it('is probed, and gets endpoints, at its addresses of both families', async () => {
    const { path, clock, probed } = newPath(['gw.example.com', 'gw6.example.com'], {
      'gw.example.com': ['203.0.113.7', 'fd00:200::7'],
      'gw6.example.com': ['fd00:200::8'],
    });
    await clock.advance(0);
    const all = ['203.0.113.7', 'fd00:200::7', 'fd00:200::8'];
    expect(path.facts).to.deep.include({ path: 'alive', alive: all });
    expect([...probed]).to.deep.equal(all);
    path.stop();
  });

  it('is judged anew when the ranges of the source become known', async () => {
    const { path, clock, learn } = newPath(['gw.example.com'], { 'gw.example.com': ['10.50.0.1'] });
    await clock.advance(0);
    expect(path.facts.path).to.equal('alive');
    learn('10.50.0.0/16');
    path.recheck();
    expect(path.facts).to.deep.include({ path: 'refused', alive: [] });
    path.stop();
  });

  it('that only looks like an address is looked up, and what comes of it judged', async () => {
    const { path, clock, probed } = newPath(['2130706433'], { '2130706433': ['127.0.0.1'] });
    await clock.advance(0);
    expect(path.facts.path).to.equal('refused');
    expect([...probed]).to.deep.equal([]);
    path.stop();
  });

  it('that asks to be drained is heard, and believed on the way back when it says nothing more', async () => {
    let onAnswer: ((drain: FailoverDrain | undefined) => void) | undefined;
    const clock = new VirtualClock(1_000_000);
    const told: (number | undefined)[] = [];
    const path: GatewayPath = new GatewayPath({
      cluster: 'west',
      hosts: ['203.0.113.7'],
      port: 4143,
      identity: 'gw',
      own: false,
      probe: { path: '/ready', port: 4191, periodMs: 1000, timeoutMs: 1000, failureThreshold: 1 },
      health: (options) => {
        onAnswer = options.onAnswer;
        return { update: () => undefined, stateOf: () => 'alive', states: [], stop: () => undefined };
      },
      names: listedNames({}, clock),
      refusal: () => undefined,
      onChange: () => undefined,
      asking: { clock, before: undefined, onDrain: () => told.push(path.drain?.until) },
    });
    const drain = { to: 0, start: clock.now(), rampMs: 1000, until: clock.now() + 60_000, drill: false };
    onAnswer?.(undefined);
    onAnswer?.(drain);
    onAnswer?.({ ...drain });
    await clock.advance(5000);
    onAnswer?.(undefined);
    onAnswer?.(undefined);
    await clock.advance(1000);
    onAnswer?.(undefined);
    expect(told).to.deep.equal([drain.until, clock.now() - 1000, undefined]);
  });

  it('is one word among others: addresses of the source are refused wherever they stand', async () => {
    const { path, clock } = newPath(['10.96.7.7', '203.0.113.7', 'gw.example.com'], {
      'gw.example.com': ['10.96.7.8'],
    });
    await clock.advance(0);
    expect(path.facts).to.deep.include({ path: 'alive', alive: ['203.0.113.7'] });
    expect(path.facts.refusal?.message).to.contain('10.96.7.7').and.to.contain('10.96.7.8');
    path.stop();
  });
});

describe('a gateway that egress pods know, too', () => {
  const IP = '203.0.113.7';

  /** Its parts say what the test says; each `true` among `told` is a change that took an address away. */
  async function evidencedPath() {
    const clock = new VirtualClock();
    const told: boolean[] = [];
    const says: { state: AddressHealth; isLost: boolean } = { state: 'alive', isLost: false };
    const tell = { probes: () => undefined as void, trunks: () => undefined as void };
    const path: GatewayPath = new GatewayPath({
      cluster: 'west',
      hosts: [IP],
      port: 4143,
      identity: 'gw',
      own: false,
      probe: { path: '/ready', port: 4191, periodMs: 1000, timeoutMs: 1000, failureThreshold: 1 },
      health: ({ onChange }) => {
        tell.probes = onChange;
        return { update: () => undefined, stateOf: () => says.state, states: [], stop: () => undefined };
      },
      trunks: {
        isLost: () => says.isLost,
        follow: (listener) => {
          tell.trunks = listener;
          return () => undefined;
        },
      },
      names: listedNames({}, clock),
      refusal: () => undefined,
      onChange: (worse) => void told.push(worse),
    });
    path.start();
    await clock.advance(0);
    told.length = 0;
    const probes = (state: AddressHealth) => {
      says.state = state;
      tell.probes();
    };
    const trunks = (isLost: boolean) => {
      says.isLost = isLost;
      tell.trunks();
    };
    return { path, told, probes, trunks };
  }

  it('is told when they reach it no more, and when they do again', async () => {
    const { path, told, trunks } = await evidencedPath();
    trunks(true);
    expect(path.facts).to.deep.include({ path: 'dead', alive: [], unreached: [IP] });
    trunks(true);
    trunks(false);
    expect(path.facts).to.deep.include({ path: 'alive', alive: [IP], unreached: [] });
    expect(told).to.deep.equal([true, false]);
    path.stop();
  });

  // Seen in real clusters: a gateway that was scaled down and up again stayed dead for as long as anybody
  // looked. Probes had found it dead before the egress did, and alive before the egress did; that the egress
  // could not reach it was told with the probes' word, and that it could again was compared with the time
  // before.
  it('is told when they reach it again after what they said was told with the word of probes', async () => {
    const { path, told, probes, trunks } = await evidencedPath();
    probes('dead');
    trunks(true);
    probes('alive');
    expect(path.facts).to.deep.include({ path: 'dead', unreached: [IP] });
    told.length = 0;
    trunks(false);
    expect(path.facts).to.deep.include({ path: 'alive', unreached: [] });
    expect(told).to.deep.equal([false]);
    path.stop();
  });
});

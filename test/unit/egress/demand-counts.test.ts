import { expect } from 'chai';
import { once } from 'node:events';
import net from 'node:net';
import { EGRESS_DEMAND_PAGE, MAX_DEMANDS } from '../../../src/api/answers/demand-report.ts';
import { demandReports } from '../../../src/egress/demand-counts.ts';
import { Egress } from '../../../src/egress/egress.ts';
import { TargetGroup } from '../../../src/proxy/group/target-group.ts';
import { ProxyCounters } from '../../../src/proxy/metrics/counters.ts';
import { captureLog } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { type Deed, FakeTarget, request } from '../../support/fake-target.ts';
import { fixedIdentity } from '../../support/fixed-identity.ts';
import { freePort } from '../../support/free-port.ts';
import { noNames } from '../../support/host-names.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';
import { begun } from '../../support/begun-flow.ts';

const handler = {
  onInterimResponse: () => undefined,
  onResponse: () => undefined,
  onResponseBody: () => undefined,
  onResponseEnd: () => undefined,
  onRequestSent: () => undefined,
  onFailure: () => undefined,
};

describe('what an egress pod says about requests', () => {
  const clock = new VirtualClock();

  it('is of each Service with a group, of all its ports, what waits and what nobody took', async () => {
    const counters = new ProxyCounters();
    const [label, other] = ['shop/web-federated:80', 'shop/web-federated:81'];
    const target = new FakeTarget('west', [], ['cannot be reached']);
    const group = new TargetGroup(label, { clock, random: () => 0, counters });
    group.update([{ name: 'west', target }]);
    counters.group(other);
    for (const [of, status, grpc] of [
      [label, 200, undefined],
      [label, 503, undefined],
      [other, 200, 14],
      ['shop/plain:80', 503, undefined],
    ] as const) {
      begun(counters, of).response(status, 1, grpc);
    }
    const said = { service: 'shop/web-federated', requests: 3, failures: 2 };
    group.openNow('http1', request('GET'), handler);
    await settle(40);
    expect(demandReports(counters)).to.deep.equal([{ ...said, refused: 0, pending: 1 }]);
    for (let round = 0; round < 60; round++) {
      await clock.advance(100);
      await settle(20);
    }
    const after = demandReports(counters);
    expect(after).to.deep.equal([{ ...said, refused: 1, pending: 0 }]);
    expect(EGRESS_DEMAND_PAGE.read(after)).to.deep.equal({ rows: after, skipped: 0 });
  });

  it('has as many Services as are read, at most', () => {
    const counters = new ProxyCounters();
    for (let at = 0; at < MAX_DEMANDS + 10; at++) counters.group(`shop/web-${at}:80`);
    expect(demandReports(counters)).to.have.length(MAX_DEMANDS);
  });

  const LABEL = 'shop/web-federated:80';
  type Ask = (group: TargetGroup) => unknown;
  const openNow: Ask = (group) => group.openNow('http1', request('GET'), handler);
  const post: Ask = (group) => group.openNow('http1', request('POST'), handler);
  const lease: Ask = (group) => group.lease(false).catch(() => undefined);
  const leave: Ask = async (group) => {
    const upstream = group.openNow('http1', request('GET'), handler);
    await settle();
    expect(group.numbers.pending).to.equal(1);
    upstream?.abandon();
  };
  const overShare: Ask = (group) => {
    group.divide(new Map([['west', { share: 4000, order: 0, weight: 1, tier: 0 }]]), 0.6);
    return group.open('http1', request('GET'), handler).catch(() => undefined);
  };
  const cases: readonly [what: string, deed: Deed, ask: Ask, waits: boolean, refused: number][] = [
    ['a request that is served', 'serves', openNow, false, 0],
    ['a request that a backend has had and lost', 'lost', post, false, 0],
    ['a request whose answer is a failure', 'answers 500', openNow, false, 0],
    ['a request that no backend is connected for', 'cannot be reached', openNow, true, 1],
    ['a request that all refuse', 'refuses', openNow, true, 1],
    ['a request that all are too full for', 'is full', openNow, false, 1],
    ['a request whose client leaves', 'cannot be reached', leave, true, 0],
    ['a request beyond the share of all', 'serves', overShare, false, 1],
    ['a raw connection that no backend is connected for', 'cannot be reached', lease, true, 1],
  ];
  for (const [what, deed, ask, waits, refused] of cases)
    it(`counts ${what} as ${refused === 0 ? 'taken, or left' : 'refused'}, once, and as waiting no longer than it does`, async () => {
      const virtual = new VirtualClock();
      const counters = new ProxyCounters();
      const group = new TargetGroup(LABEL, { clock: virtual, random: () => 0, counters });
      group.update([{ name: 'west', target: new FakeTarget('west', [], [deed]) }]);
      const asked = ask(group);
      let mostPending = 0;
      for (let round = 0; round < 60; round++) {
        await settle(20);
        mostPending = Math.max(mostPending, group.numbers.pending);
        await virtual.advance(100);
      }
      await asked;
      expect([mostPending, group.numbers.pending]).to.deep.equal([waits ? 1 : 0, 0]);
      expect(group.numbers.refused).to.equal(refused);
    });
});

// What is counted for groups must cost nothing where there are none.
describe('a path that has no group', () => {
  it('counts nothing of demand, whatever becomes of its requests', async () => {
    const virtual = new VirtualClock();
    const port = await freePort();
    const egress = new Egress({
      listenAddress: '127.0.0.1',
      identity: fixedIdentity(undefined),
      clock: virtual,
      random: () => 0.5,
      log: captureLog().log,
      names: noNames(virtual),
      graceMs: 0,
    });
    let groups = 0;
    const { counters } = egress;
    const group = counters.group.bind(counters);
    counters.group = (target) => {
      groups++;
      return group(target);
    };
    const label = 'shop/plain:80';
    const gateway = { addresses: ['127.0.0.2'], port: 4143, identity: 'gw' };
    egress.update(
      new Map([
        [
          port,
          {
            label,
            namespace: 'shop',
            listenPort: port,
            targetCluster: 'west',
            name: 'a',
            port: 80,
            protocol: undefined,
            gateway,
          },
        ],
      ]),
    );
    const sent = async (bytes: string) => {
      const client = net.connect(port, '127.0.0.1');
      client.on('error', () => undefined);
      await once(client, 'connect');
      client.write(bytes);
      let ended = false;
      client.on('close', () => (ended = true)).resume();
      await eventually('it is over', async () => {
        await virtual.advance(500);
        return ended;
      });
    };
    await eventually('it is served', () => egress.ready.ok);
    await sent('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    await sent('raw bytes of no protocol\r\n');
    expect(counters.targets.get(label)?.requests).to.equal(2);
    expect([groups, counters.groups.size, demandReports(counters)]).to.deep.equal([0, 0, []]);
    await egress.stop();
  });
});

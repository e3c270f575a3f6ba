import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type FailoverDrain, writeDrain } from '../../../src/api/failover/failover-drain.ts';
import { OwnService, probeAnswer } from '../../../src/gateway/own-service.ts';
import { captureLog } from '../../support/captured-log.ts';
import { FakeCluster } from '../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const OK = { ok: true, reason: '' };
const drainFrom = (start: number): FailoverDrain => ({
  to: 0,
  start,
  rampMs: 60_000,
  until: start + 600_000,
  drill: false,
});
const service = (annotations: Record<string, string> = {}): V1Service => ({
  metadata: { name: 'linkerd-gateway', namespace: 'mc', uid: 'u', annotations },
});

async function setup(before: (cluster: FakeCluster) => void) {
  const clock = new VirtualClock(Date.UTC(2026, 10, 29, 14));
  const cluster = new FakeCluster();
  before(cluster);
  const { log, lines } = captureLog();
  let closed = false;
  const client = Object.assign(Object.create(cluster.client) as typeof cluster.client, {
    close: () => Promise.resolve(void (closed = true)),
  });
  const shared = { clock, random: () => 0.5, log };
  const own = new OwnService({
    ...shared,
    client,
    closesClient: true,
    namespace: 'mc',
    name: 'linkerd-gateway',
  });
  own.start();
  await settle(10);
  return { own, cluster, clock, lines, closed: () => closed };
}

// A gateway could say that it is ready or not, and nothing in between.
describe("the gateway's own Service", () => {
  it('says nothing of a drain where there is none', async () => {
    const { own, closed } = await setup((cluster) => cluster.put('services', service()));
    expect(own.ready).to.deep.equal(OK);
    expect(own.answer(OK)).to.deep.equal(OK);
    await own.close();
    expect(closed()).to.equal(true);
  });

  it('that asks for a drain with a slip in it asks for nothing, which the log says once', async () => {
    const wrong = service({ 'linkspan.dev/drain': '{"to":0}' });
    const { own, cluster, lines } = await setup((one) => one.put('services', wrong));
    expect(own.answer(OK)).to.deep.equal(OK);
    cluster.put('services', { ...wrong, metadata: { ...wrong.metadata, labels: { touched: 'yes' } } });
    await settle(10);
    const said = lines.filter(({ msg }) => msg === 'annotations not followed');
    expect(said.map(({ service: name, problems }) => [name, problems])).to.deep.equal([
      [
        'mc/linkerd-gateway',
        ['linkspan.dev/drain: "start" must be a time such as "2026-11-29T16:00:00Z"; it counts for nothing'],
      ],
    ]);
    await own.close();
  });

  it('is followed: other clusters are asked, and at the end of the ramp told to go', async () => {
    const { own, cluster, clock } = await setup((one) => one.put('services', service()));
    const drain = drainFrom(clock.now());
    cluster.put('services', service({ 'linkspan.dev/drain': writeDrain(drain) }));
    await settle(10);
    const fields = {
      'linkspan-drain': 'to=0, start=@1795960800, ramp=60, until=@1795961400',
    };
    expect(own.answer(OK)).to.deep.equal({ ...OK, fields });
    const later = drain.start + drain.rampMs;
    expect(probeAnswer(OK, drain, later)).to.deep.equal({
      ok: false,
      reason: 'this cluster is drained',
      fields,
    });
    // On the way back it takes traffic again.
    expect(probeAnswer(OK, drain, drain.until)).to.deep.equal({ ...OK, fields });
    expect(probeAnswer(OK, drain, drain.until + drain.rampMs)).to.deep.equal(OK);
    const dead = { ok: false, reason: 'no identity' };
    expect(probeAnswer(dead, drain, later), 'it does not work, which counts more').to.deep.equal(dead);
    await own.close();
  });

  it('holds a gateway back that has just started, and not for ever', async () => {
    const { own, cluster, clock } = await setup((one) => (one.listError = new Error('no rights')));
    expect(own.ready.ok).to.equal(false);
    await clock.advance(5000);
    expect(own.ready).to.deep.equal(OK);
    cluster.listError = undefined;
    await own.close();
  });
});

import { expect } from 'chai';
import { writeDrill } from '../../../../src/api/failover/connection-drill.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';
import { Drills } from '../../../../src/egress/gateways/drills.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const gateway = { addresses: ['192.0.2.1'], port: 4143, identity: 'gw' };
const member = (cluster: string) => ({
  cluster,
  label: `demo/web@${cluster}:80`,
  name: 'web',
  port: 80,
  gateway,
});

describe('drills as an egress knows them', () => {
  it('take a cluster for dead from their beginning to their end, whoever is there to end them', async () => {
    const clock = new VirtualClock(Date.UTC(2026, 10, 29, 14));
    const cluster = new FakeCluster();
    const { log, lines } = captureLog();
    const link = (annotations: Record<string, string>): LinkObject => ({
      metadata: { name: 'west', namespace: 'links', uid: 'u', annotations },
      spec: { targetClusterName: 'west' },
    });
    cluster.put('links', link({}));
    const drills = new Drills({ client: cluster.client, namespace: 'links', clock, random: () => 0.5, log });
    drills.start();
    await settle(10);
    const west = () => drills.isDead(member('west'));
    expect(west()).to.equal(false);
    const start = clock.now() + 1000;
    cluster.put(
      'links',
      link({ 'linkspan.dev/drill': writeDrill({ kind: 'fail', start, until: start + 5000 }) }),
    );
    await settle(10);
    expect(west(), 'not yet').to.equal(false);
    await clock.advance(1000);
    const single = drills.isDead({ name: 'web', port: 80, gateway });
    expect([west(), drills.isDead(member('north')), single]).to.deep.equal([true, false, false]);
    await clock.advance(5000);
    expect(west(), 'over').to.equal(false);
    cluster.put(
      'links',
      link({ 'linkspan.dev/drill': writeDrill({ kind: 'fail', start, until: start + 60_000 }) }),
    );
    await settle(10);
    expect(west()).to.equal(true);
    cluster.put('links', link({}));
    await settle(10);
    expect(west(), 'taken away').to.equal(false);
    expect(lines.filter(({ msg }) => msg.startsWith('drill:'))).to.have.length(2);
    await drills.stop();
  });
});

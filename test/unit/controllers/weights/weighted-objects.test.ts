import { expect } from 'chai';
import { FAILOVER_CONTROLLED_BY } from '../../../../src/api/failover/failover-names.ts';
import { WeightedObjects } from '../../../../src/controllers/weights/weighted-objects.ts';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { withRoutingKinds } from '../../../support/apex-world.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

describe('objects whose weights are managed', () => {
  // For 20 s nobody managed them, and mirrors behind them were withdrawn as if nobody had asked for weights.
  it('are found within seconds where the API server was busy when the controller began', async () => {
    const clock = new VirtualClock();
    const cluster = new FakeCluster();
    cluster.put('trafficsplits', {
      metadata: {
        name: 'web',
        namespace: 'shop',
        uid: 's',
        labels: { [FAILOVER_CONTROLLED_BY]: 'linkspan' },
      },
      spec: { service: 'web', backends: [{ service: 'web-west', weight: 1 }] },
    } as object);
    let failure: Error | undefined = statusError(503, '{}', 'fake', undefined);
    const objects = new WeightedObjects({
      client: withRoutingKinds(cluster.client, () => failure),
      clock,
      random: () => 0.5,
      log: createLogger({ name: 'test', level: 'silent' }),
      clusterDomain: 'cluster.local',
    });
    objects.start();
    await settle(10);
    expect(objects.ids()).to.deep.equal([]);
    failure = undefined;
    await clock.advance(2000);
    await settle(10);
    expect(objects.ids()).to.have.length(1);
    await objects.stop();
  });
});

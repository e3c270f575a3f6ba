import type { V1Deployment, V1Pod } from '@kubernetes/client-node';
import { expect } from 'chai';
import { isRolledOut, podProblems } from '../../../src/install/ready.ts';

const deployment = (status: Partial<NonNullable<V1Deployment['status']>>, replicas = 2): V1Deployment => ({
  metadata: { name: 'gateway', generation: 3 },
  spec: { replicas, selector: { matchLabels: { app: 'gateway' } }, template: {} },
  status,
});
const done = { observedGeneration: 3, replicas: 2, updatedReplicas: 2, availableReplicas: 2 };

describe('a Deployment that has rolled out', () => {
  it('is seen by its controller, updated, available, and has no old pods', () => {
    expect(isRolledOut(deployment(done))).to.equal(true);
    expect(isRolledOut(deployment({ ...done, observedGeneration: 2 }))).to.equal(false);
    expect(isRolledOut(deployment({ ...done, updatedReplicas: 1 }))).to.equal(false);
    expect(isRolledOut(deployment({ ...done, replicas: 3 }))).to.equal(false);
    expect(isRolledOut(deployment({ ...done, availableReplicas: 1 }))).to.equal(false);
    expect(isRolledOut(deployment({}))).to.equal(false);
    expect(isRolledOut(deployment({ observedGeneration: 3 }, 0)), 'scaled to none').to.equal(true);
  });

  it('says what its pods wait for, once', () => {
    const pod = (app: string, status: object) => ({ metadata: { labels: { app } }, status }) as V1Pod;
    const image = { containerStatuses: [{ state: { waiting: { reason: 'ErrImagePull', message: 'no' } } }] };
    const unscheduled = {
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes' }],
    };
    const pods = [
      pod('gateway', image),
      pod('gateway', image),
      pod('gateway', unscheduled),
      pod('other', {}),
    ];
    expect(podProblems(deployment(done), pods)).to.deep.equal([
      'ErrImagePull: no',
      'Unschedulable: 0/1 nodes',
    ]);
  });
});

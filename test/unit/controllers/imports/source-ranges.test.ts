import type { V1Node } from '@kubernetes/client-node';
import { expect } from 'chai';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import {
  endpointSlices,
  nodes,
  serviceCidrs,
  type KubeObject,
  type Resource,
} from '../../../../src/api/kubernetes/resource.ts';
import { ownRangeOf } from '../../../../src/controllers/imports/remote-addresses.ts';
import { SourceRanges, type RangeSettings } from '../../../../src/controllers/imports/source-ranges.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const nothing: RangeSettings = { given: { pod: [], service: [], node: [] }, learn: true };

function node(name: string, podCIDRs: string[], address: string): V1Node {
  return {
    metadata: { name },
    spec: { podCIDRs },
    status: {
      addresses: [
        { type: 'InternalIP', address },
        { type: 'Hostname', address: name },
      ],
    },
  };
}

/** A client that answers the kinds named with a status instead. */
function refusing(client: KubeClient, statuses: Record<string, number>): KubeClient {
  const list: KubeClient['list'] = (resource: Resource<KubeObject>, options) => {
    const status = statuses[resource.plural];
    if (status !== undefined)
      return Promise.reject(
        statusError(status, JSON.stringify({ message: 'no' }), `GET ${resource.plural}`, undefined),
      );
    return client.list(resource, options as never) as never;
  };
  return { ...client, list } as unknown as KubeClient;
}

async function start(cluster: FakeCluster, settings: RangeSettings, statuses: Record<string, number> = {}) {
  const clock = new VirtualClock();
  let changes = 0;
  const ranges = new SourceRanges({
    ...settings,
    client: refusing(cluster.client, statuses),
    clock,
    random: () => 0.5,
    log,
    onChange: () => changes++,
  });
  ranges.start();
  await clock.advance(1000);
  await ranges.settled;
  return { ranges, clock, changes: () => changes };
}

describe("the source cluster's own ranges", () => {
  it('are what its Nodes and ServiceCIDRs say, and follow them', async () => {
    const cluster = new FakeCluster();
    await cluster.client.create(nodes, node('a', ['10.244.0.0/24', 'fd00:1::/64'], '192.168.1.10'));
    await cluster.client.create(serviceCidrs, {
      metadata: { name: 'kubernetes' },
      spec: { cidrs: ['10.96.0.0/12'] },
    } as KubeObject);
    const slice = { metadata: { name: 'kubernetes', namespace: 'default' }, addressType: 'IPv4' };
    await cluster.client.create(endpointSlices, {
      ...slice,
      endpoints: [{ addresses: ['172.16.0.2'] }],
      ports: [],
    });
    const { ranges, clock, changes } = await start(cluster, nothing);
    // The API server of a managed cluster is on no Node.
    expect(ownRangeOf('172.16.0.2', ranges)).to.contain('own node range');
    expect(ranges.unknown).to.deep.equal([]);
    expect(ownRangeOf('10.244.0.9', ranges)).to.contain('own pod range 10.244.0.0/24');
    expect(ownRangeOf('fd00:1::9', ranges)).to.contain('own pod range');
    expect(ownRangeOf('10.97.0.1', ranges)).to.contain('own service range');
    expect(ownRangeOf('192.168.1.10', ranges)).to.contain('own node range');
    expect(ownRangeOf('10.244.1.9', ranges)).to.equal(undefined);
    const before = changes();
    await cluster.client.create(nodes, node('b', ['10.244.1.0/24'], '192.168.1.11'));
    await clock.advance(2000);
    expect(ownRangeOf('10.244.1.9', ranges)).to.contain('own pod range');
    expect(changes()).to.equal(before + 1);
    // A node's heartbeat is no change of ranges.
    await cluster.client.patch(
      nodes,
      { name: 'b' },
      { metadata: { labels: { beat: '1' } } },
      { type: 'merge' },
    );
    await clock.advance(2000);
    expect(changes()).to.equal(before + 1);
    await ranges.stop();
  });

  it('are told to be unknown where they may not be read, do not exist, or are not all said', async () => {
    const cluster = new FakeCluster();
    await cluster.client.create(nodes, node('a', [], '192.168.1.10'));
    const some = await start(cluster, nothing, { servicecidrs: 404 });
    expect(some.ranges.unknown).to.deep.equal([
      'pod: not all Nodes have spec.podCIDRs',
      'service: this API server has no servicecidrs',
    ]);
    await some.ranges.stop();
    const none = await start(cluster, nothing, { nodes: 403, servicecidrs: 403 });
    expect(none.ranges.unknown).to.deep.equal([
      'pod: nodes may not be read',
      'service: servicecidrs may not be read',
      'node: nodes may not be read',
    ]);
    await none.ranges.stop();
    const given = { pod: ['10.244.0.0/16'], service: ['10.96.0.0/12'], node: ['192.168.0.0/16'] };
    const flags = await start(cluster, { given, learn: false });
    expect(flags.ranges.unknown).to.deep.equal([]);
    expect(ownRangeOf('10.244.7.7', flags.ranges)).to.contain('own pod range');
  });

  it('are asked for until there is an answer: nothing begins on ignorance', async () => {
    const cluster = new FakeCluster();
    const statuses: Record<string, number> = { nodes: 500 };
    const clock = new VirtualClock();
    const ranges = new SourceRanges({
      ...nothing,
      client: refusing(cluster.client, statuses),
      clock,
      random: () => 0.5,
      log,
      onChange: () => undefined,
    });
    let settled = false;
    void ranges.settled.then(() => (settled = true));
    ranges.start();
    await clock.advance(60_000);
    expect(settled).to.equal(false);
    delete statuses['nodes'];
    await clock.advance(60_000);
    expect(settled).to.equal(true);
    await ranges.stop();
  });
});

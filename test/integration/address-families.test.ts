import { expect } from 'chai';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  change,
  ensureNamespace,
  eventReasonsIn,
  findCondition,
  findService,
} from '../support/cluster-objects.ts';
import { services } from '../../src/api/kubernetes/resource.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

/**
 * EKS clusters are IPv6-only; a mirror whose ClusterIP no endpoint has the family of was `Mirrored`, and
 * kube-proxy sent nothing. Here the other way round.
 */
describe('a gateway without an address of the family that ClusterIPs have', () => {
  let east: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;
  const reason = () =>
    controller.runs.get(`${links}/west`)?.peer?.mirrors.reconciler.outcomes.get(`${ns}/web`)?.reason;
  const settled = (what: string, probe: () => unknown) => eventually(what, probe, { everyMs: 50 });

  before(async () => {
    const clusters = await sharedClusters();
    east = clusters.east;
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(clusters.west, 'families');
    await ensureNamespace(east, ns);
    await exportService(clusters.west, ns, 'web', { test: ns });
    const gatewayAddress = 'fd00:200::12';
    await apply(east, ...linkObjects(clusters.west, links, 'west', { gatewayAddress, ...ownSelectors(ns) }));
    controller = startController(east, { namespace: links });
  });
  after(() => controller.stop());

  it('is said by verdict, Event and condition, and the mirror is there', async () => {
    await settled('the verdict says so', () => reason() === 'AddressFamilyMismatch');
    expect((await findService(east, ns, 'web-west'))?.spec?.ipFamilies).to.deep.equal(['IPv4']);
    await settled('an Event', async () =>
      (await eventReasonsIn(east, links)).includes('AddressFamilyMismatch'),
    );
    await settled('the condition', async () =>
      (await findCondition(east, links, 'west', 'Synced'))?.message.includes('1 AddressFamilyMismatch'),
    );
    expect((await findCondition(east, links, 'west', 'Synced'))?.status).to.equal('True');
  });

  it('and what a person sets of the family policy stays on the mirror', async () => {
    // The affinity is ours and put back; by that it is known that the mirror was looked at.
    const spec = { ipFamilyPolicy: 'PreferDualStack', sessionAffinity: 'ClientIP' };
    await change(east, services, { namespace: ns, name: 'web-west' }, { spec });
    const mirror = () => findService(east, ns, 'web-west');
    await settled('it is healed', async () => (await mirror())?.spec?.sessionAffinity === 'None');
    expect((await mirror())?.spec?.ipFamilyPolicy).to.equal('PreferDualStack');
  });
});

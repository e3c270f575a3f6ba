import { expect } from 'chai';
import { events, services } from '../../src/api/kubernetes/resource.ts';
import { TARGET_BUDGETS } from '../../src/controllers/settings/target-budgets.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { clientOf, ensureNamespace, findCondition, findService, remove } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

/** The next look of a parked Link comes after up to ten seconds, then twenty. */
const wait = { everyMs: 50 };
const MAX_SERVICES = 3;

/** A target that exported without end was mirrored until the controller's memory was gone. */
describe('a Link whose target exports more than one may', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let others: string;
  let controller: MirrorController;

  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const mirror = (name: string) => findService(east, ns, `${name}-west`);
  const synced = () => findCondition(east, links, 'west', 'Synced');

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'many');
    others = await createNamespace(west, 'few');
    for (const namespace of [ns, others]) await ensureNamespace(east, namespace);
    for (const name of ['a', 'b', 'c']) await exportService(west, ns, name, { test: ns });
    await apply(east, ...linkObjects(west, links, 'west', ownSelectors(ns)));
    // One API server stands for two clusters: only names tell Links apart.
    await apply(east, ...linkObjects(west, links, 'north', ownSelectors(others)));
    controller = startController(east, {
      namespace: links,
      annotationExports: false,
      budgets: { ...TARGET_BUDGETS, held: { ...TARGET_BUDGETS.held, services: MAX_SERVICES } },
    });
    await settled('all are mirrored', async () => (await synced())?.reason === 'AllMirrored');
  });

  after(() => controller.stop());

  it('is parked: its condition and an Event say which budget, its mirrors stay', async () => {
    await exportService(west, ns, 'd', { test: ns });
    const parked = await settled('it is parked', async () => {
      const condition = await synced();
      return condition?.reason === 'OverBudgetServices' ? condition : undefined;
    });
    expect(parked.status).to.equal('False');
    expect(parked.message).to.contain(`${MAX_SERVICES} are allowed (--max-peer-services)`);
    // Its API is in order.
    expect((await findCondition(east, links, 'west', 'APIReachable'))?.status).to.equal('True');
    await settled('an Event tells', async () => {
      const { items } = await clientOf(east).list(events, { namespace: links });
      return items.some(
        ({ reason, message }) => reason === 'OverBudget' && message?.includes('services:') === true,
      );
    });
    for (const name of ['a', 'b', 'c']) expect(await mirror(name), name).not.to.equal(undefined);
    expect(await mirror('d')).to.equal(undefined);
  });

  it('holds nobody else up', async () => {
    await exportService(west, others, 'web', { test: others });
    await settled('the other Link mirrors', () => findService(east, others, 'web-north'));
    expect((await synced())?.reason).to.equal('OverBudgetServices');
  });

  it('goes on by itself when it fits again', async () => {
    await remove(west, services, { namespace: ns, name: 'a' });
    await settled('the one that was too many is mirrored', () => mirror('d'));
    await settled('the one that is gone has gone here too', async () => (await mirror('a')) === undefined);
    await settled('nothing is parked', async () => (await synced())?.reason === 'AllMirrored');
  });
});

import { expect } from 'chai';
import { leases } from '../../src/api/kubernetes/resource.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { ensureNamespace, find, findAddresses, findService } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import { LinkspanController } from '../support/linkspan-controller.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 20 };
/** So long that nobody waits for its end. */
const LEASE_MS = 30_000;

describe('replicas of the controller', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  const running: MirrorController[] = [];
  const names = ['one', 'two', 'three', 'four'];

  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const holder = async (link: string) =>
    (await find(east, leases, { namespace: links, name: `service-mirror-write-${link}` }))?.spec
      ?.holderIdentity ?? '';
  const start = (replica: string, leaseMs = LEASE_MS) => {
    const controller = startController(east, { namespace: links, leaseMs }, { replica });
    running.push(controller);
    return controller;
  };
  const stop = async (controller: MirrorController) => {
    running.splice(running.indexOf(controller), 1);
    await controller.stop();
  };

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'replicas');
    await ensureNamespace(east, ns);
    await exportService(west, ns, 'web', { test: ns });
  });

  after(() => Promise.all(running.map((controller) => controller.stop())));

  it('share the Links, each of which has one writer', async () => {
    const replicas = [start('a'), start('b')];
    await settled('both are ready', () => replicas.every(({ ready }) => ready.ok));
    for (const name of names) await apply(east, ...linkObjects(west, links, name, ownSelectors(ns)));
    const holders = await settled('every Link has a holder', async () => {
      const found = await Promise.all(names.map(holder));
      return found.every((name) => name !== '') ? found : undefined;
    });
    expect(new Set(holders)).to.deep.equal(new Set(['a', 'b']));
    await settled('all are mirrored', async () => {
      const found = await Promise.all(names.map((name) => findAddresses(east, ns, `web-${name}`)));
      return found.every((addresses) => addresses.length === 1);
    });
  });

  it('hand a Link over long before its Lease ends when one is stopped', async () => {
    const [first] = running;
    if (first === undefined) throw new Error('two are running');
    const left = names.find((name) => first.runs.get(`${links}/${name}`)?.peer !== undefined);
    const version = async () => (await findService(east, ns, `web-${left ?? ''}`))?.metadata?.resourceVersion;
    const before = await version();
    await stop(first);
    const [other] = running;
    const holdsAll = () => names.every((name) => other?.runs.get(`${links}/${name}`)?.peer !== undefined);
    await eventually('the other holds all', holdsAll, { timeoutMs: LEASE_MS / 2 });
    expect(await version(), 'nothing was written for it').to.equal(before);
  });

  it('replace one that was killed within the time of its Lease', async () => {
    const [other] = running;
    if (other !== undefined) await stop(other);
    const killed = await LinkspanController.start({
      kubeconfig: east.kubeconfigFile,
      namespace: links,
      replica: 'k',
      lease: '6s',
    });
    await settled('it holds a Link', async () => (await holder('one')) === 'k');
    const successor = start('s', 6000);
    await killed.kill();
    await settled('the successor has it', () => successor.runs.get(`${links}/one`)?.peer !== undefined);
    expect(await holder('one')).to.equal('s');
  });
});

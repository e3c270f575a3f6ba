import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { leases, secrets, services } from '../../src/api/kubernetes/resource.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import {
  change,
  clientOf,
  ensureNamespace,
  find,
  findAddresses,
  findCondition,
  findLink,
  findService,
  findSlices,
  remove,
} from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 50 };

describe('the life of a Link', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: MirrorController;

  const service = (name: string) => findService(east, ns, name);
  const addresses = (name: string) => findAddresses(east, ns, name);
  const settled = <T>(what: string, probe: () => T | Promise<T>) => eventually(what, probe, wait);
  const condition = (link: string, type: string) => findCondition(east, links, link, type);
  const patchLink = (name: string, patch: object) =>
    change(east, linkResource, { namespace: links, name }, patch);

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'life');
    await ensureNamespace(east, ns);
    await exportService(west, ns, 'web', { test: ns, federated: true });
    await apply(east, ...linkObjects(west, links, 'west', ownSelectors(ns)));
    controller = startController(east, { namespace: links });
    await settled('it works', async () => (await addresses('web-west')).length === 1);
  });

  after(() => controller.stop());

  it('shows its Services in the shape that Linkerd writes', async () => {
    // What it lists, how many that are, and whose they are, may come one after another.
    const status = await settled('the status says all of it', async () => {
      const found = (await findLink(east, links, 'west'))?.status;
      const lists = [found?.mirrorServices, found?.federatedServices];
      const isWhole = lists.every((list) => list?.length) && found?.mirrorCount && found.targetClusterUID;
      return isWhole ? found : undefined;
    });
    const mirrored = status.mirrorServices?.[0];
    expect(mirrored?.remoteRef).to.include({ name: 'web', namespace: ns });
    expect(mirrored?.conditions?.[0]).to.include({ type: 'Mirrored', status: 'True', reason: 'Mirrored' });
    expect(mirrored?.conditions?.[0]?.localRef).to.include({ name: 'web-west', namespace: ns });
    expect(status.federatedServices?.[0]?.conditions?.[0]?.localRef).to.include({ name: 'web-federated' });
    expect(status.mirrorCount).to.equal(1);
    expect(status.targetClusterUID).to.be.a('string');
  });

  it('follows an edited gateway address', async () => {
    await patchLink('west', { spec: { gatewayAddress: '10.200.0.14' } });
    await settled('the mirror follows', async () => (await addresses('web-west')).join() === '10.200.0.14');
  });

  it('takes a replaced Secret over without a restart, and keeps mirrors while it is wrong', async () => {
    const name = 'cluster-credentials-west';
    const kubeconfig = (text: string) => ({ data: { kubeconfig: Buffer.from(text).toString('base64') } });
    await change(east, secrets, { namespace: links, name }, kubeconfig(''));
    await settled(
      'it is refused',
      async () => (await condition('west', 'CredentialsValid'))?.reason === 'InvalidCredentials',
    );
    expect(await addresses('web-west')).to.have.length(1);
    await change(
      east,
      secrets,
      { namespace: links, name },
      kubeconfig(readFileSync(west.kubeconfigFile, 'utf8')),
    );
    await exportService(west, ns, 'new', { test: ns });
    await settled('new exports are mirrored', async () => (await addresses('new-west')).length === 1);
    await settled(
      'the condition says so',
      async () => (await condition('west', 'CredentialsValid'))?.status === 'True',
    );
    await remove(west, services, { namespace: ns, name: 'new' });
    await settled('… and go', async () => (await service('new-west')) === undefined);
  });

  it('lists nothing when nothing is mirrored: the last entry goes too', async () => {
    await change(
      west,
      services,
      { namespace: ns, name: 'web' },
      { metadata: { labels: { 'linkspan.test/exported': null } } },
    );
    await settled('the mirror is gone', async () => (await service('web-west')) === undefined);
    await settled(
      'the list is empty',
      async () => (await findLink(east, links, 'west'))?.status?.mirrorServices?.length === 0,
    );
    await change(
      west,
      services,
      { namespace: ns, name: 'web' },
      { metadata: { labels: { 'linkspan.test/exported': ns } } },
    );
    await settled('it is back', async () => (await addresses('web-west')).length === 1);
  });

  it('refuses a second Link for the same cluster, which takes over when the first is deleted', async () => {
    const [, link] = linkObjects(west, links, 'twin', {
      targetClusterName: 'west',
      clusterCredentialsSecret: 'cluster-credentials-west',
      ...ownSelectors(ns),
    });
    await apply(east, link ?? {});
    await settled(
      'it is refused',
      async () => (await condition('twin', 'CredentialsValid'))?.reason === 'DuplicateCluster',
    );
    const before = (await service('web-west'))?.spec?.clusterIP;
    await remove(east, linkResource, { namespace: links, name: 'west' });
    await settled(
      'it has taken the mirror over',
      async () =>
        (await service('web-west'))?.metadata?.annotations?.['linkspan.dev/link'] === `${links}/twin`,
    );
    expect((await service('web-west'))?.spec?.clusterIP, 'the very same mirror').to.equal(before);
    await settled(
      'the Lease of the first is gone',
      async () =>
        (await find(east, leases, { namespace: links, name: 'service-mirror-write-west' })) === undefined,
    );
  });

  it('gives up what it made for a cluster that it no longer names', async () => {
    await patchLink('twin', { spec: { targetClusterName: 'away' } });
    await settled('mirrors of the new name are made', async () => (await addresses('web-away')).length === 1);
    await settled('those of the old one are gone', async () => (await service('web-west')) === undefined);
    const federated = await settled('the federated entry is renamed', async () => {
      const text = (await service('web-federated'))?.metadata?.annotations?.[
        'multicluster.linkerd.io/remote-discovery'
      ];
      return text === 'web@away' ? text : undefined;
    });
    expect(federated).to.equal('web@away');
  });

  it('removes everything that it made when it is deleted, and nothing else', async () => {
    await apply(
      east,
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'mine-away', namespace: ns },
        spec: { ports: [{ port: 1 }] },
      },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: {
          name: 'linkerds-away',
          namespace: ns,
          labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'away' },
        },
        spec: { ports: [{ port: 1 }] },
      },
    );
    await remove(east, linkResource, { namespace: links, name: 'twin' });
    await settled('the mirror is gone', async () => (await service('web-away')) === undefined);
    await settled('its slices are gone', async () => (await findSlices(east, ns, 'web-away')).length === 0);
    await settled(
      'the federated Service is gone',
      async () => (await service('web-federated')) === undefined,
    );
    await settled(
      'the Lease is gone',
      async () =>
        (await find(east, leases, { namespace: links, name: 'service-mirror-write-twin' })) === undefined,
    );
    expect(await service('mine-away')).not.to.equal(undefined);
    expect(await service('linkerds-away')).not.to.equal(undefined);
  });

  it('is cleaned up after by a controller that was away when it was deleted', async () => {
    await apply(east, ...linkObjects(west, links, 'west', ownSelectors(ns)));
    await settled('it works', async () => (await addresses('web-west')).length === 1);
    await controller.stop();
    await remove(east, linkResource, { namespace: links, name: 'west' });
    controller = startController(east, { namespace: links });
    await settled('the mirror is gone', async () => (await service('web-west')) === undefined);
    await settled(
      'the federated Service is gone',
      async () => (await service('web-federated')) === undefined,
    );
  });

  it('can lead back to its own cluster', async () => {
    await exportService(east, ns, 'self', { test: `${ns}-self` });
    await apply(east, ...linkObjects(east, links, 'self', ownSelectors(`${ns}-self`)));
    await settled('it is mirrored', async () => (await addresses('self-self')).length === 1);
    // The mirror must not be taken for an export, or it would be mirrored for ever.
    expect(await service('self-self-self')).to.equal(undefined);
    await remove(east, linkResource, { namespace: links, name: 'self' });
    await settled('it is gone', async () => (await service('self-self')) === undefined);
  });

  it('with bad fields disturbs nobody and says which field', async () => {
    const bad: [string, object, string][] = [
      ['bad-port', { gatewayPort: 'abc' }, 'gatewayPort'],
      ['bad-selector', { selector: { matchLabels: { 'not a key!': 'x' } } }, 'selector'],
      [
        'bad-probe',
        { probeSpec: { path: '/ready', port: '4191', failureThreshold: 'often' } },
        'failureThreshold',
      ],
      ['bad-address', { gatewayAddress: 'not an address' }, 'gatewayAddress'],
    ];
    for (const [name, spec] of bad)
      await apply(east, ...linkObjects(west, links, name, { ...ownSelectors(ns), ...spec }));
    for (const [name, , field] of bad)
      await settled(`${name} is named`, async () =>
        (await condition(name, 'CredentialsValid'))?.message.includes(field),
      );
    await apply(east, ...linkObjects(west, links, 'good', ownSelectors(ns)));
    await settled('the good one works', async () => (await addresses('web-good')).length === 1);
    for (const name of [...bad.map(([bad]) => bad), 'good'])
      await remove(east, linkResource, { namespace: links, name });
    await settled('all is cleaned up', async () => (await service('web-good')) === undefined);
    await settled('no Lease is left', async () => {
      const { items } = await clientOf(east).list(leases, { namespace: links });
      return items.every(({ metadata }) => metadata?.name?.includes('good') !== true);
    });
  });
});

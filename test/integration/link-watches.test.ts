import { expect } from 'chai';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { findCondition } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

/** What undici tells of each request that it is asked for. */
interface Asked {
  readonly request: { readonly origin: string; readonly path: string };
}

const LINKS = ['one', 'two', 'three'];
/** How many the controller has of the source cluster, whatever Links there are. */
const SHARED = 13;
/** Another selector for each, so that its watches can be told from those of others. */
const labelOf = (link: string) => `linkspan.test/watched-by-${link}`;

/**
 * A watch lasts, on a connection of its own, and with its buffers a connection takes about 100 KB: what one
 * Link has of them is what a hundred Links cost.
 */
describe('the watches of a Link', () => {
  let east: Cluster;
  let west: Cluster;
  let controller: MirrorController;
  /** Collections whose watches were asked for, as `origin kind?selector`. */
  const watched: string[] = [];
  const note = (message: unknown) => {
    const { origin, path } = (message as Asked).request;
    const url = new URL(path, origin);
    if (url.searchParams.get('watch') !== 'true') return;
    const kind = url.pathname.split('/').at(-1) ?? '';
    const selectors = ['labelSelector', 'fieldSelector'].map((name) => url.searchParams.get(name) ?? '');
    watched.push(`${url.origin} ${kind}?${selectors.join('')}`);
  };
  const of = (cluster: Cluster) =>
    watched.filter((one) => one.startsWith(`${cluster.server} `)).map((one) => one.split(' ')[1] ?? '');

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    const links = await createNamespace(east, 'links');
    subscribe('undici:request:create', note);
    controller = startController(east, { namespace: links });
    for (const name of LINKS) {
      const selector = { matchLabels: { [labelOf(name)]: 'true' } };
      await apply(east, ...linkObjects(west, links, name, { selector }));
    }
    // Which it is when everything has been listed, and a watch is asked for in the turn that lists have
    // ended.
    for (const name of LINKS)
      await eventually(
        `Link ${name} is synced`,
        async () => (await findCondition(east, links, name, 'Synced'))?.status === 'True',
      );
  });

  after(async () => {
    unsubscribe('undici:request:create', note);
    await controller.stop();
  });

  it('are two of its target: the Services, and the slices of those that it selects', () => {
    const expected = LINKS.flatMap((name) => ['services?', `endpointslices?${labelOf(name)}=true`]);
    expect(of(west).toSorted()).to.deep.equal(expected.toSorted());
  });

  it('are one of the source cluster, of its Secret', () => {
    const secrets = LINKS.map((name) => `secrets?metadata.name=cluster-credentials-${name}`);
    // These end after a minute and are begun again.
    const all = [...new Set(of(east))];
    expect(all).to.include.members(secrets);
    // What all Links share does not grow with their number.
    expect(all.filter((one) => !secrets.includes(one))).to.have.length.at.most(SHARED);
  });
});

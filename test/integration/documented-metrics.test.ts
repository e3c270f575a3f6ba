import { expect } from 'chai';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { installCrd } from '../support/linked-clusters.ts';
import { differences, documentedMetrics, scrapedMetrics } from '../support/metrics-page.ts';
import { ObservedController, observedSigner } from '../support/observed-controller.ts';
import type { ServingVerb } from '../support/serving-verb.ts';
import { useTempDir } from '../support/temp-dir.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { sharedClusters } from '../testbed/shared.ts';

// The pages of gateway and egress were compared with declarations, those of controller and signer with
// nothing.
describe('docs/reference/metrics.md against controller and signer', () => {
  const dir = useTempDir();
  const closed = closedIn(afterEach);
  let east: Cluster;
  let west: Cluster;

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
  });

  /** What of the page a program's scrapes lack, and the other way round, once nothing changes any more. */
  async function agrees(program: ServingVerb, section: string): Promise<void> {
    const page = documentedMetrics(section);
    const compare = async () => differences(page, scrapedMetrics(await program.metrics()));
    await eventually('page and scrape agree', async () => (await compare()).length === 0, {
      everyMs: 100,
    }).catch(async () => expect(await compare()).to.deep.equal([]));
  }

  it('a controller with a Link that is probed, renews its token and leaves something out', async () => {
    const controller = closed(await ObservedController.start(east, west), (one) => one.stop());
    await agrees(controller.process, 'Controller');
  });

  it('a signer that has been asked', async () => {
    const signer = closed(await observedSigner(east, dir(), 365), (one) => one.kill());
    await agrees(signer, 'Signer');
  });
});

import { expect } from 'chai';
import { applyAll, deleteAll } from '../../../src/manifests/apply.ts';
import type { KubeClient } from '../../../src/kube/client/kube-client.ts';
import type { KubeObject, ObjectRef, Resource } from '../../../src/api/kubernetes/resource.ts';
import { settle } from '../../support/virtual-clock.ts';

/** What a client has under way at once; more only wait in it, and the time for an answer runs meanwhile. */
const BOUND = 16;

/**
 * `unlink` asked about all mirrors of a Link in one moment: with some thousands of them and an API server far
 * away, the last had waited longer in the client than an answer may take, and nothing was unlinked. What it
 * deleted, it deleted one after the other.
 */
describe('requests about many objects', () => {
  /**
   * An API server that has every object and answers a turn of the loop later; `fails` says which deletions.
   */
  function start(fails: (name: string) => boolean = () => false) {
    const log = { underWay: 0, most: {} as Record<string, number>, deleted: [] as string[] };
    const answer = async <T>(verb: string, value: T): Promise<T> => {
      log.most[verb] = Math.max(log.most[verb] ?? 0, ++log.underWay);
      await settle(1);
      log.underWay--;
      return value;
    };
    const found = (kind: string, { name, namespace }: ObjectRef) => {
      const metadata = { name, namespace, uid: name, resourceVersion: '1' };
      return { apiVersion: 'v1', kind, metadata } as KubeObject;
    };
    const client = {
      raw: () => {
        const kinds = { Service: 'services', ConfigMap: 'configmaps' };
        return Promise.resolve({
          resources: Object.entries(kinds).map(([kind, name]) => ({ kind, name, namespaced: true })),
        });
      },
      get: (resource: Resource<KubeObject>, ref: ObjectRef) => answer('get', found(resource.kind, ref)),
      create: () => answer('review', { status: { allowed: true } }),
      patch: (resource: Resource<KubeObject>, ref: ObjectRef) => answer('patch', found(resource.kind, ref)),
      delete: async (resource: Resource<KubeObject>, { name }: ObjectRef, how: { dryRun: boolean }) => {
        await answer(how.dryRun ? 'ask' : 'delete', undefined);
        if (how.dryRun) return;
        if (fails(name)) throw new Error(`no ${name}`);
        log.deleted.push(`${resource.kind} ${name}`);
      },
    } as unknown as KubeClient;
    return { client, log };
  }

  const objects = (kind: string, count: number): KubeObject[] =>
    Array.from({ length: count }, (_, index) => ({
      apiVersion: 'v1',
      kind,
      metadata: { namespace: `ns-${index}`, name: `${kind.toLowerCase()}-${index}` },
    }));

  it('are as many at once as a client has under way, of one kind when they delete', async () => {
    const { client, log } = start();
    const set = [...objects('ConfigMap', 40), ...objects('Service', 100)];
    await deleteAll(client, set, { dryRun: false });
    expect(log.most).to.deep.equal({ get: BOUND, review: BOUND, ask: BOUND, delete: BOUND });
    expect(log.deleted).to.have.lengthOf(140);
    expect(log.deleted.map((title) => title.split(' ')[0])).to.deep.equal([
      ...Array<string>(100).fill('Service'),
      ...Array<string>(40).fill('ConfigMap'),
    ]);
  });

  it('end with the first deletion that fails, of other kinds too', async () => {
    const { client, log } = start((name) => name === 'service-70');
    const set = [...objects('ConfigMap', 40), ...objects('Service', 100)];
    const failed = await deleteAll(client, set, { dryRun: false }).catch((error: unknown) => String(error));
    expect(failed).to.equal('Error: no service-70');
    expect(log.deleted.filter((title) => title.startsWith('ConfigMap'))).to.deep.equal([]);
    // Deleted in opposite order, so that 99 goes first; those that were under way have ended.
    expect(log.deleted.length)
      .to.be.at.least(29)
      .and.below(29 + 2 * BOUND);
    const before = log.deleted.length;
    await settle(50);
    expect([log.deleted.length, log.underWay]).to.deep.equal([before, 0]);
  });

  it('are as many when they apply, for the dry run', async () => {
    const { client, log } = start();
    await applyAll(client, objects('ConfigMap', 60), { fieldManager: 'linkspan', dryRun: true, force: true });
    expect(log.most).to.deep.equal({ get: BOUND, review: BOUND, patch: BOUND });
  });
});

import { expect } from 'chai';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';
import { applyDrain, assertSafe } from '../../../src/drains/drain-apply.ts';
import { type DrainPlan, planDrain } from '../../../src/drains/drain-plan.ts';
import type { KubeClient } from '../../../src/kube/client/kube-client.ts';
import { link, NOW, objects } from './drain-objects.ts';

const WISH = { to: 0, rampMs: 1000, lastsMs: 60_000, drill: false };

/** Each plan sees a later version of the Link than the one before. */
function planner(): () => Promise<DrainPlan> {
  let version = 0;
  return () => {
    const west = link('west');
    const metadata = { ...west.metadata, resourceVersion: String(++version) };
    const links = [{ ...west, metadata }, link('north')];
    return Promise.resolve(planDrain(objects({ links }), { cluster: 'west' }, WISH, NOW));
  };
}

function server(answer: (body: unknown) => void) {
  const sent: string[] = [];
  const patch: KubeClient['patch'] = (_resource, { name }, body) => {
    const { metadata } = body as { metadata: { resourceVersion: string } };
    sent.push(`${name} ${metadata.resourceVersion}`);
    answer(body);
    return Promise.resolve({} as never);
  };
  return { sent, client: { patch } };
}

const conflict = () => {
  throw new LinkspanError('KUBE_CONFLICT', 'somebody was faster');
};

describe('the write of a drain', () => {
  it('is decided anew when the object has changed in between', async () => {
    let refusals = 2;
    const { sent, client } = server(() => (refusals-- > 0 ? conflict() : undefined));
    const { plan, written } = await applyDrain(client, planner(), () => true);
    expect(sent).to.deep.equal(['west 1', 'west 2', 'west 3']);
    expect(written).to.equal(true);
    expect(plan.write.on.metadata?.resourceVersion).to.equal('3');
  });

  it('is given up when it never succeeds, and for any other error at once', async () => {
    const always = server(conflict);
    const error = await applyDrain(always.client, planner(), () => true).catch((one: unknown) => one);
    expect(error).to.have.property('code', 'KUBE_CONFLICT');
    expect(always.sent).to.have.length(8);
    const forbidden = server(() => {
      throw new LinkspanError('KUBE_FORBIDDEN', 'no');
    });
    await applyDrain(forbidden.client, planner(), () => true).catch((one: unknown) => one);
    expect(forbidden.sent).to.have.length(1);
  });

  it('is not made where it may not be', async () => {
    const { sent, client } = server(() => undefined);
    const { plan, written } = await applyDrain(client, planner(), () => false);
    expect([sent, written]).to.deep.equal([[], false]);
    expect(() => assertSafe(plan)).to.throw(LinkspanError, 'without west capacity would be short');
    expect(() => assertSafe({ findings: [] })).not.to.throw();
  });
});

import { expect } from 'chai';
import { changeOf, type Kind, type Step } from '../../../../src/controllers/reconcile/steps.ts';

const target = { metadata: { name: 'web-west' } };
const create = (kind: Kind): Step => ({ verb: 'create', kind, object: target });
const patch = (kind: Kind): Step => ({ verb: 'patch', kind, target, patch: {} });

describe('What writes do to a mirror', () => {
  it('is told of the Service, and nothing of what belongs to it or of its status', () => {
    expect(changeOf([create('namespaces'), create('services'), create('endpointSlices')])).to.equal('made');
    expect(changeOf([patch('endpointSlices'), patch('services')])).to.equal('changed');
    expect(changeOf([{ verb: 'delete', kind: 'services', target }])).to.equal('removed');
    expect(changeOf([patch('endpointSlices'), create('endpoints')])).to.equal(undefined);
    expect(
      changeOf([{ verb: 'patch', kind: 'services', target, patch: {}, subresource: 'status' }]),
    ).to.equal(undefined);
    expect(changeOf([])).to.equal(undefined);
  });
});

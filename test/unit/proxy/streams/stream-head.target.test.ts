import { expect } from 'chai';
import { targetField } from '../../../../src/proxy/streams/stream-head.ts';

describe('the field that says what a stream is for', () => {
  it('is one where several are made in succession for the same Service', () => {
    const first = targetField('a.demo.svc.cluster.local:80');
    expect(targetField('a.demo.svc.cluster.local:80')).to.equal(first);
  });

  it('is another one for another Service', () => {
    const first = targetField('a.demo.svc.cluster.local:80');
    const other = targetField('b.demo.svc.cluster.local:80');
    expect([first.value, other.value]).to.deep.equal([
      'a.demo.svc.cluster.local:80',
      'b.demo.svc.cluster.local:80',
    ]);
  });
});

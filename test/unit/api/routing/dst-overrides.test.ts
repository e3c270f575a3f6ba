import { expect } from 'chai';
import { readDstOverrides } from '../../../../src/api/routing/dst-overrides.ts';
import { NotValid } from '../../../../src/api/routing/read-value.ts';

const read = (value: unknown) => readDstOverrides(value, 'cluster.local');

describe('overrides of a ServiceProfile', () => {
  it('name Services with or without a port, and weights as quantities', () => {
    expect(
      read([
        { authority: 'web-a.demo.svc.cluster.local:8080', weight: '900m' },
        { authority: 'Web-B.demo.svc.cluster.local.', weight: 1 },
      ]),
    ).to.deep.equal([
      { service: 'web-a', namespace: 'demo', port: 8080, weight: 0.9 },
      { service: 'web-b', namespace: 'demo', weight: 1 },
    ]);
    expect(read(undefined)).to.deep.equal([]);
    expect(read(null)).to.deep.equal([]);
  });

  for (const authority of [
    'web.demo',
    'a.b.demo.svc.cluster.local',
    'web.demo.svc.other.domain',
    'web.demo.svc.cluster.local:0',
    'web.demo.svc.cluster.local:99999',
    'web.demo.svc.cluster.local:80:80',
    '10.0.0.1:80',
    '',
  ])
    it(`are refused with "${authority}"`, () =>
      expect(() => read([{ authority, weight: 1 }])).to.throw(NotValid));
});

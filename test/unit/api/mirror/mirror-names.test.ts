import { expect } from 'chai';
import { endpointMirrorName, parseKey } from '../../../../src/api/mirror/mirror-names.ts';

describe('names of mirrors', () => {
  // `web` came out as namespace `we`, name `web`.
  it('take a key without a slash for a name without a namespace', () => {
    expect(parseKey('demo/web')).to.deep.equal({ namespace: 'demo', name: 'web' });
    expect(parseKey('web')).to.deep.equal({ namespace: '', name: 'web' });
    expect(parseKey('/web')).to.deep.equal({ namespace: '', name: 'web' });
  });

  it('gives every host a name that a Service can have', () => {
    // skupper#649: pods of `3d-render`; kubedirector#58: long names of clusters.
    for (const host of ['3d-render-0', 'db-0', 'h'.repeat(63), `0${'-'.repeat(61)}0`])
      for (const cluster of [
        'west',
        'gke-prod-europe-west1-customer-platform-shared-services-a',
        'c'.repeat(61),
      ])
        for (const free of [true, false]) {
          const name = endpointMirrorName(host, 'db', cluster, () => free);
          expect(name, `${host} of ${cluster}`).to.match(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/);
          expect(endpointMirrorName(`${host}x`, 'db', cluster, () => false)).not.to.equal(name);
        }
  });

  it('gives the later of two hosts of one name a name of its own, the same each time and short enough', () => {
    expect(endpointMirrorName('web-0', 'web', 'west', () => true)).to.equal('web-0-west');
    const taken = endpointMirrorName('web-0', 'web', 'west', () => false);
    expect(taken).to.match(/^web-0-[0-9a-f]{8}-west$/);
    expect(endpointMirrorName('web-0', 'web', 'west', () => false)).to.equal(taken);
    expect(endpointMirrorName('h'.repeat(63), 'web', 'c'.repeat(40), () => true).length).to.be.at.most(63);
  });
});

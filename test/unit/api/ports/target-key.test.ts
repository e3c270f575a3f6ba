import { expect } from 'chai';
import {
  backendOf,
  serviceOf,
  shortTarget,
  splitTargetKey,
  targetKey,
} from '../../../../src/api/ports/target-key.ts';

describe('the key of a target', () => {
  it('is the same however its name is written', () => {
    expect(targetKey('Web.demo.svc.cluster.local.', 80)).to.equal('web.demo.svc.cluster.local:80');
  });

  it('is split at its last colon', () => {
    expect(splitTargetKey('web.demo:80')).to.deep.equal({ name: 'web.demo', port: '80' });
    expect(splitTargetKey('fd00::1:80')).to.deep.equal({ name: 'fd00::1', port: '80' });
  });

  it('takes a service out of a name, also behind the name of a pod', () => {
    const found = { name: 'db', namespace: 'demo', port: '5432' };
    expect(serviceOf('db.demo.svc.cluster.local:5432')).to.deep.equal(found);
    expect(serviceOf('db-0.db.demo.svc.cluster.local:5432')).to.deep.equal(found);
    expect(serviceOf('example.org:443')).to.equal(undefined);
  });

  // What is too much to count by itself is counted under `other`, and its routes were those of a service
  // `othe`.
  it('of what is no Service is its whole name', () => {
    expect(backendOf('example.org:443')).to.deep.equal({ name: 'example.org', namespace: '', port: '443' });
    expect(backendOf('other')).to.deep.equal({ name: 'other', namespace: '', port: '' });
  });

  it('is short for people', () => {
    expect(shortTarget('web.demo.svc.cluster.local:8080')).to.equal('web.demo:8080');
    expect(shortTarget('example.org:443')).to.equal('example.org:443');
  });
});

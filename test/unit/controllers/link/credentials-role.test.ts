import type { V1Secret } from '@kubernetes/client-node';
import { expect } from 'chai';
import { TOKEN_TTL } from '../../../../src/api/names.ts';
import { credentialsRules } from '../../../../src/controllers/link/credentials-role.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';

const link = (name: string, secret: string | undefined = `cluster-credentials-${name}`): LinkObject => ({
  metadata: { name, namespace: 'mc' },
  spec: secret === undefined ? {} : { clusterCredentialsSecret: secret },
});
const credentials = (name: string, change: Partial<V1Secret> = {}): V1Secret => ({
  type: 'mirror.linkerd.io/remote-kubeconfig',
  metadata: { name, namespace: 'mc' },
  ...change,
});
const read = (...resourceNames: string[]) => ({
  apiGroups: [''],
  resources: ['secrets'],
  resourceNames,
  verbs: ['get', 'list', 'watch'],
});
const patch = (...resourceNames: string[]) => ({ ...read(...resourceNames), verbs: ['patch'] });

describe('what the controller may do with Secrets', () => {
  it('is to read those that Links name, in one order whatever comes first', () => {
    const [west, north] = [credentials('cluster-credentials-west'), credentials('cluster-credentials-north')];
    const wanted = [read('cluster-credentials-north', 'cluster-credentials-west')];
    expect(credentialsRules([link('west'), link('north')], [west, north])).to.deep.equal(wanted);
    expect(credentialsRules([link('north'), link('west')], [north, west])).to.deep.equal(wanted);
  });

  it('is to change those whose token it renews, and no others', () => {
    const renewed = credentials('cluster-credentials-west', {
      metadata: { name: 'cluster-credentials-west', annotations: { [TOKEN_TTL]: '24h' } },
    });
    expect(
      credentialsRules([link('west'), link('north')], [renewed, credentials('cluster-credentials-north')]),
    ).to.deep.equal([
      read('cluster-credentials-north', 'cluster-credentials-west'),
      patch('cluster-credentials-west'),
    ]);
  });

  it('is nothing where no Link names it, where it is not there, and where its type is another', () => {
    const issuer = credentials('linkspan-issuer', { type: 'kubernetes.io/tls' });
    expect(credentialsRules([], [credentials('cluster-credentials-west')])).to.deep.equal([]);
    expect(credentialsRules([link('west')], [])).to.deep.equal([]);
    expect(credentialsRules([link('west', 'linkspan-issuer')], [issuer])).to.deep.equal([]);
    expect(credentialsRules([{ metadata: { name: 'x' } } as LinkObject], [credentials('')])).to.deep.equal(
      [],
    );
  });
});

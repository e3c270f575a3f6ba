import { expect } from 'chai';
import { contractName } from '../../../../scripts/lint/contract-names.ts';

describe('the lint rule for names of the contract', () => {
  // The prefix of egress ports was built in three files, the name of a Lease in six, kind Link declared
  // twice.
  const refused: readonly [string, string][] = [
    ['mirror.linkerd.io/mirrored-service', 'mirror.linkerd.io/mirrored-service'],
    ['mirror.linkerd.io/mirrored-service=true', 'mirror.linkerd.io/mirrored-service'],
    ['multicluster.linkerd.io/', 'multicluster.linkerd.io/'],
    ['egress-ports.linkspan.dev/', 'egress-ports.linkspan.dev/'],
    ['retry.linkerd.io/http', 'retry.linkerd.io/http'],
    ['linkspan.dev/retry-budget-ttl', 'linkspan.dev/retry-budget-ttl'],
    ['the annotation `linkspan.dev/import-quotas` of the Link', 'linkspan.dev/import-quotas'],
    ['(linkspan.dev/import-gateways)', 'linkspan.dev/import-gateways'],
    ['links.multicluster.linkerd.io is not installed', 'links.multicluster.linkerd.io'],
    ['/apis/policy.linkerd.io', 'policy.linkerd.io'],
    ['linkerd.io', 'linkerd.io'],
    ['multicluster.x-k8s.io/v1alpha1', 'multicluster.x-k8s.io/v1alpha1'],
    ['multicluster.x-k8s.io/service-name', 'multicluster.x-k8s.io/service-name'],
    ['transport.l5d.io/v1\r\n\r\n', 'transport.l5d.io/v1'],
    ['l5d-proxy-error', 'l5d-proxy-error'],
    ['l5d-proxy-connection: close', 'l5d-proxy-connection'],
    ['l5d-', 'l5d-'],
    ['linkspan-signer', 'linkspan-signer'],
    ['mc-probe', 'mc-probe'],
    ['.serviceaccount.identity.linkerd.', '.serviceaccount.identity.'],
  ];
  for (const [text, name] of refused)
    it(`finds ${name} in ${JSON.stringify(text)}`, () => expect(contractName(text)).to.equal(name));

  const allowed = [
    'https://linkerd.io/2/checks/#',
    'notlinkerd.io/a',
    'linkerd.iot/b',
    'app.kubernetes.io/name',
    'l5d-multicluster-links-are-valid',
    'l5d-smc-target-clusters-access',
    'kubectl logs deploy/linkspan-signer',
    '',
  ];
  for (const text of allowed)
    it(`finds none in "${text}"`, () => expect(contractName(text)).to.equal(undefined));
});

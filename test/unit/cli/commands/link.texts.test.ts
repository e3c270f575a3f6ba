import { manifestText } from '../../../../src/cli/output/output.ts';
import { remoteAccessManifests } from '../../../../src/linking/remote-access.ts';
import { planUnlink, type UnlinkFacts } from '../../../../src/linking/unlink.ts';
import { expectGolden } from '../../../support/golden.ts';

const account = { namespace: 'linkerd-multicluster', name: 'mirror-east' };
const access = { account, linkerd: false, boundTokens: false, version: '1.2.3' };

describe('what the verbs of linking print', () => {
  const allowed: readonly [string, Partial<typeof access>][] = [
    ['allow', {}],
    ['allow-linkerd', { linkerd: true }],
    ['allow-token-ttl', { boundTokens: true }],
  ];
  for (const [name, change] of allowed)
    it(name, () =>
      expectGolden(
        `cli/allow/${name}.yaml`,
        manifestText(remoteAccessManifests({ ...access, ...change }), 'yaml'),
      ),
    );

  it('unlink, of a Link of Linkerd and everything that it left', () => {
    const labels = { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' };
    const type = 'mirror.linkerd.io/remote-kubeconfig';
    const name = 'cluster-credentials-west';
    const facts: UnlinkFacts = {
      link: { metadata: { name: 'west', namespace: 'linkerd-multicluster' } },
      linkNames: ['west'],
      heir: undefined,
      secrets: [
        { type, metadata: { name, namespace: 'linkerd-multicluster' } },
        { type, metadata: { name, namespace: 'linkerd' } },
      ],
      legacy: [
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'linkerd-service-mirror-west', namespace: 'linkerd-multicluster' },
        },
      ],
      lease: { metadata: { name: 'service-mirror-write-west', namespace: 'linkerd-multicluster' } },
      mirrors: [{ metadata: { name: 'web-west', namespace: 'shop', labels } }],
      federated: [],
    };
    const request = {
      clusterName: 'west',
      namespace: 'linkerd-multicluster',
      linkerdNamespace: 'linkerd',
      onlyController: false,
    };
    const { link, mirrors, rest } = planUnlink(facts, request, 0);
    expectGolden('cli/unlink/unlink.yaml', manifestText([...link, ...mirrors, ...rest], 'yaml'));
  });
});

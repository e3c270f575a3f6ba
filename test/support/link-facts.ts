import type { LinkManifestFacts } from '../../src/linking/link-manifests.ts';

/** What is known of a target cluster before a Link to it is printed; a test changes what it cares about. */
export function linkFacts(change: Partial<LinkManifestFacts> = {}): LinkManifestFacts {
  return {
    clusterName: 'west',
    namespace: 'linkerd-multicluster',
    linkerdNamespace: 'linkerd',
    clusterDomain: 'cluster.local',
    trustDomain: 'trust.example.com',
    server: 'https://10.1.2.3:6443',
    ca: '-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n',
    tlsServerName: undefined,
    skipVerify: false,
    serviceAccount: 'linkerd-service-mirror-remote-access-default',
    token: 'abc.def.ghi',
    gateway: {
      addresses: ['10.1.2.40', 'gw.west.example.com'],
      port: 4143,
      identity: 'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local',
      probe: { path: '/ready', port: 4191, period: '3s' },
    },
    readableNamespaces: undefined,
    allowedGateways: [],
    selector: { matchLabels: { 'mirror.linkerd.io/exported': 'true' } },
    remoteDiscoverySelector: { matchLabels: { 'mirror.linkerd.io/exported': 'remote-discovery' } },
    federatedServiceSelector: { matchLabels: { 'mirror.linkerd.io/federated': 'member' } },
    excludedAnnotations: [],
    excludedLabels: [],
    tokenTtlMs: undefined,
    destinationCredentials: true,
    version: '0.0.0',
    ...change,
  };
}

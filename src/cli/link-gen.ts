import { Command } from 'commander';
import { stringify } from 'yaml';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { parseFlags } from '../base/config.ts';
import {
  DEFAULT_CLUSTER_DOMAIN,
  DEFAULT_GATEWAY_NAME,
  DEFAULT_LINKERD_NAMESPACE,
  DEFAULT_NAMESPACE,
  EXPORTED_LABEL,
  FEDERATED_LABEL,
} from '../base/names.ts';
import { KubeClient } from '../kube/client.ts';
import { gatherTargetFacts } from '../link/link-gen.ts';
import { linkManifests } from '../link/link-manifests.ts';
import { parseSelector, parseSelectorText } from '../link/selector.ts';
import { accessOf } from './flags.ts';
import { readVersion } from './version.ts';

const list = z
  .string()
  .default('')
  .transform((text) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  );
const selector = z.string().transform((text, context) => {
  try {
    const parsed = parseSelectorText(text);
    parseSelector(parsed);
    return parsed;
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});

const dnsLabel = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, {
  error: 'must be a DNS label: lower-case letters, digits and dashes',
});

const schema = z.strictObject({
  clusterName: z.string({ error: 'you need to specify cluster name' }).pipe(dnsLabel),
  namespace: dnsLabel,
  linkerdNamespace: dnsLabel,
  kubeconfig: z.string().optional(),
  context: z.string().optional(),
  apiServerAddress: z
    .url({ protocol: /^https?$/, error: 'must be a URL such as https://10.0.0.1:6443' })
    .optional(),
  serviceAccountName: z.string(),
  gatewayName: z.string(),
  gatewayNamespace: dnsLabel.optional(),
  gateway: z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')]),
  gatewayAddresses: list,
  gatewayPort: z.coerce.number().int().min(1).max(65_535).optional(),
  selector,
  remoteDiscoverySelector: selector,
  federatedServiceSelector: selector,
  excludedAnnotations: list,
  excludedLabels: list,
  clusterDomain: z.string().optional(),
  trustDomain: z.string().optional(),
  destinationCredentials: z.boolean(),
  output: z.enum(['yaml', 'json']),
});
type Settings = z.output<typeof schema>;

/** `linkspan link-gen`: prints what a source cluster needs to reach the target cluster of the current context. */
export function linkGenCommand(): Command {
  return new Command('link-gen')
    .description('print the Secrets and the Link that join this (target) cluster to a source cluster')
    .option('--cluster-name <name>', 'name of this cluster; suffix of the mirrors over there (required)')
    .option('--namespace <ns>', 'namespace of the Link and of the service account', DEFAULT_NAMESPACE)
    .option('-L, --linkerd-namespace <ns>', "namespace of Linkerd's control plane", DEFAULT_LINKERD_NAMESPACE)
    .option('--kubeconfig <file>', 'kubeconfig of the target cluster')
    .option('--context <name>', 'context of the target cluster')
    .option('--api-server-address <url>', "this cluster's API server as the source cluster reaches it")
    .option(
      '--service-account-name <name>',
      'account whose token is used',
      'linkerd-service-mirror-remote-access-default',
    )
    .option('--gateway-name <name>', 'gateway Service', DEFAULT_GATEWAY_NAME)
    .option('--gateway-namespace <ns>', 'namespace of the gateway Service (default: --namespace)')
    .option('--gateway-addresses <list>', "comma-separated addresses, instead of the Service's")
    .option('--gateway-port <port>', "port, instead of the Service's")
    .option('--gateway [bool]', 'whether the cluster has a gateway', true)
    .option('--no-gateway', 'same as --gateway=false')
    .option('-l, --selector <selector>', 'Services mirrored through the gateway', `${EXPORTED_LABEL}=true`)
    .option(
      '--remote-discovery-selector <selector>',
      'Services reached pod to pod',
      `${EXPORTED_LABEL}=remote-discovery`,
    )
    .option(
      '--federated-service-selector <selector>',
      'members of federated services',
      `${FEDERATED_LABEL}=member`,
    )
    .option('--excluded-annotations <list>', 'annotations that mirrors do not get')
    .option('--excluded-labels <list>', 'labels that mirrors do not get')
    .option(
      '--cluster-domain <domain>',
      `DNS domain (default: what Linkerd's configuration says, else ${DEFAULT_CLUSTER_DOMAIN})`,
    )
    .option(
      '--trust-domain <domain>',
      "trust domain (default: what Linkerd's configuration says, else the cluster domain)",
    )
    .option(
      '--no-destination-credentials',
      "leave out the Secret for the source cluster's Linkerd control plane",
    )
    .option('-o, --output <format>', 'yaml or json', 'yaml')
    .action(async (flags: unknown) => {
      process.stdout.write(await linkGen(parseFlags(schema, flags, 'link-gen')));
    });
}

async function linkGen(settings: Settings): Promise<string> {
  const access = accessOf(settings);
  const client = new KubeClient(access, { clock: systemClock, random: Math.random });
  try {
    const target = await gatherTargetFacts(client, {
      serviceAccount: settings.serviceAccountName,
      namespace: settings.namespace,
      linkerdNamespace: settings.linkerdNamespace,
      gateway: settings.gateway
        ? {
            name: settings.gatewayName,
            namespace: settings.gatewayNamespace ?? settings.namespace,
            addresses: settings.gatewayAddresses,
            port: settings.gatewayPort,
          }
        : undefined,
    });
    const clusterDomain = settings.clusterDomain ?? target.linkerd?.clusterDomain ?? DEFAULT_CLUSTER_DOMAIN;
    const manifests = linkManifests({
      ...settings,
      clusterDomain,
      trustDomain: settings.trustDomain ?? target.linkerd?.trustDomain ?? clusterDomain,
      server: settings.apiServerAddress ?? access.server,
      ca: access.ca,
      tlsServerName: access.tlsServerName,
      skipVerify: access.skipVerify,
      serviceAccount: settings.serviceAccountName,
      token: target.token,
      gateway: target.gateway,
      version: readVersion(),
    });
    return render(manifests, settings.output);
  } finally {
    await client.close();
  }
}

function render(manifests: readonly object[], output: 'yaml' | 'json'): string {
  if (output === 'yaml')
    return manifests.map((manifest) => `---\n${stringify(manifest, { lineWidth: 0 })}`).join('');
  // One document, so that the output is JSON and kubectl takes it.
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }, null, 2)}\n`;
}

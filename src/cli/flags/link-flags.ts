import { Option, type Command } from 'commander';
import {
  DEFAULT_CLUSTER_DOMAIN,
  DEFAULT_GATEWAY_NAME,
  DEFAULT_LINKERD_NAMESPACE,
  DEFAULT_NAMESPACE,
  IMPORT_GATEWAYS,
  MAX_CLUSTER_NAME,
  REMOTE_ACCESS_ACCOUNT,
  LOCAL,
} from '../../api/names.ts';
import { exportSelector } from '../../api/exports/export-marks.ts';
import { z } from 'zod';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { isDnsLabel } from '../../base/text.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';
import { gatewayText } from '../../linking/export-gateways.ts';
import { parseImportPolicy } from '../../api/link/import-policy.ts';
import type { LinkRequest } from '../../linking/link-request.ts';
import { links, NOT_LOCAL } from '../../api/link/link-schema.ts';
import { parseSelector, parseSelectorText } from '../../api/kubernetes/label-selector.ts';
import { MIN_TOKEN_TTL_MS } from '../../linking/token.ts';
import { durationFlag, listFlag } from './cluster-flags.ts';
import { readVersion } from '../../base/version.ts';

/** A selector flag, in the form of the Link's spec. */
const labelSelector = z.string().transform((text, context) => {
  try {
    const parsed = parseSelectorText(text);
    parseSelector(parsed);
    return parsed;
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) });
    return z.NEVER;
  }
});

export const dnsLabel = z.string().refine(isDnsLabel, {
  error: 'must be a DNS label: lower-case letters, digits and dashes',
});

/** `--cluster-name`: mirrors are named `<svc>-<cluster>`, and tiers, drains and metrics name clusters. */
export const clusterNameFlag = dnsLabel
  .refine((name) => name.length <= MAX_CLUSTER_NAME, {
    error: `must have at most ${MAX_CLUSTER_NAME} characters: with a longer one no mirror can have a name`,
  })
  .refine((name) => name !== LOCAL, { error: NOT_LOCAL });

/** `--token-ttl`; milliseconds. */
export const tokenTtlFlag = durationFlag
  .refine((ms) => ms >= MIN_TOKEN_TTL_MS, {
    error: 'must be at least 10m: API servers grant no shorter life',
  })
  .optional();

export const urlFlag = z
  .url({ protocol: /^https?$/, error: 'must be a URL such as https://10.0.0.1:6443' })
  .optional();
export const portFlag = z.coerce.number().int().min(1).max(65_535).optional();
export const boolFlag = z.union([
  z.boolean(),
  z.enum(['true', 'false']).transform((text) => text === 'true'),
]);

/** Flags of `link-gen` and `link` about target and Link. */
export const linkFlags = {
  clusterName: z.string({ error: 'you need to specify cluster name' }).pipe(clusterNameFlag),
  namespace: dnsLabel,
  linkerdNamespace: dnsLabel,
  apiServerAddress: urlFlag,
  serviceAccountName: z.string(),
  gatewayName: z.string(),
  gatewayNamespace: dnsLabel.optional(),
  gateway: boolFlag,
  gatewayAddresses: listFlag,
  gatewayPort: portFlag,
  selector: labelSelector,
  remoteDiscoverySelector: labelSelector,
  federatedServiceSelector: labelSelector,
  excludedAnnotations: listFlag,
  excludedLabels: listFlag,
  clusterDomain: z.string().optional(),
  trustDomain: z.string().optional(),
  tokenTtl: tokenTtlFlag,
  importGateways: z.boolean(),
};
export type LinkSettings = z.output<z.ZodObject<typeof linkFlags>>;

/** `--labels a --labels b` is `--labels a,b`, as in Linkerd. */
const gathered = (next: string, before: string | undefined) =>
  before === undefined ? next : `${before},${next}`;

/** Adds the flags of `linkFlags`. */
export function withLinkFlags(command: Command): Command {
  return command
    .option('--cluster-name <name>', 'name of the target cluster; suffix of its mirrors (required)')
    .option(
      '--namespace <ns>',
      'namespace of the installation: of the Link and of the service account',
      DEFAULT_NAMESPACE,
    )
    .option('-L, --linkerd-namespace <ns>', "namespace of Linkerd's control plane", DEFAULT_LINKERD_NAMESPACE)
    .option(
      '--api-server-address <url>',
      "the target's API server as the source cluster reaches it (default: the kubeconfig's)",
    )
    .option('--service-account-name <name>', 'account whose token is used', REMOTE_ACCESS_ACCOUNT)
    .option(
      '--token-ttl <time>',
      'life of the token, which the controller renews (default: a token that never ends)',
    )
    .option('--gateway-name <name>', 'name of the gateway Service', DEFAULT_GATEWAY_NAME)
    .option('--gateway-namespace <ns>', 'namespace of the gateway Service (default: --namespace)')
    .option(
      '--gateway-addresses <list>',
      "comma-separated addresses of the gateway, instead of its Service's",
    )
    .option('--gateway-port <port>', "port of the gateway, instead of its Service's")
    .option('--gateway [bool]', 'whether the target has a gateway', true)
    .option('--no-gateway', 'same as --gateway=false')
    .option('-l, --selector <selector>', 'Services mirrored through the gateway', exportSelector('gateway'))
    .option('--remote-discovery-selector <selector>', 'Services reached pod to pod', exportSelector('flat'))
    .option(
      '--federated-service-selector <selector>',
      'members of federated services',
      exportSelector('federated'),
    )
    .addOption(
      new Option('--excluded-annotations <list>', 'annotations that mirrors do not get').argParser(gathered),
    )
    .addOption(new Option('--excluded-labels <list>', 'labels that mirrors do not get').argParser(gathered))
    .option(
      '--cluster-domain <domain>',
      `DNS domain of the target cluster (default: what Linkerd's configuration says, else ${DEFAULT_CLUSTER_DOMAIN})`,
    )
    .option(
      '--trust-domain <domain>',
      "trust domain of the target cluster (default: what Linkerd's configuration says, else the cluster domain)",
    )
    .option(
      '--no-import-gateways',
      `do not allow the gateways that exports name by annotation at present (${IMPORT_GATEWAYS})`,
    );
}

/** The request from the flags. */
export function linkRequest(settings: LinkSettings, destinationCredentials: boolean): LinkRequest {
  return {
    clusterName: settings.clusterName,
    namespace: settings.namespace,
    linkerdNamespace: settings.linkerdNamespace,
    apiServerAddress: settings.apiServerAddress,
    serviceAccountName: settings.serviceAccountName,
    gateway: settings.gateway
      ? {
          name: settings.gatewayName,
          namespace: settings.gatewayNamespace ?? settings.namespace,
          addresses: settings.gatewayAddresses,
          port: settings.gatewayPort,
        }
      : undefined,
    selector: settings.selector,
    remoteDiscoverySelector: settings.remoteDiscoverySelector,
    federatedServiceSelector: settings.federatedServiceSelector,
    excludedAnnotations: settings.excludedAnnotations,
    excludedLabels: settings.excludedLabels,
    clusterDomain: settings.clusterDomain,
    trustDomain: settings.trustDomain,
    destinationCredentials,
    importGateways: settings.importGateways,
    tokenTtlMs: settings.tokenTtl,
    version: readVersion(),
  };
}

/**
 * Notes about the gateways that are put into a Link's list: the target named them, so the user should review
 * them.
 */
export function gatewayNotes(manifests: readonly KubeObject[]): string[] {
  const annotations = manifests.find(({ kind }) => kind === links.kind)?.metadata?.annotations;
  return parseImportPolicy(annotations).policy.gateways.map(
    ({ addresses, port, identity }) =>
      `exports may name the gateway ${gatewayText({ addresses, port, identity })}: it is in the annotation ${IMPORT_GATEWAYS} of the Link`,
  );
}

/**
 * Refuses tokens of limited life for Linkerd's destination controller: it notices Secrets that are added and
 * removed, but not changed ones, and would go on with an expired token.
 */
export function refuseRenewedDestination(tokenTtl: number | undefined, destination: boolean): void {
  if (tokenTtl === undefined || !destination) return;
  throw new LinkspanError(
    'CONFIG_INVALID',
    "--token-ttl: Linkerd's destination controller does not take in a renewed token, so its Secret cannot hold one",
    {
      hint: 'Add --no-destination-credentials (flat mirrors through Linkerd then need a link of their own), or leave --token-ttl out.',
    },
  );
}

/** Warnings about a kubeconfig that works. */
export function linkWarnings(access: { readonly skipVerify: boolean; readonly source: string }): string[] {
  if (!access.skipVerify) return [];
  return [`${access.source} leaves the API server's certificate unchecked, and so will the Link`];
}

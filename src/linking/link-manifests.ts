import { readableNamespacesAnnotation } from '../api/link/readable-namespaces.ts';
import {
  credentialsName,
  type CredentialsReader,
  credentialsSecret,
} from '../api/credentials/credentials-secret.ts';
import { createdBy } from '../api/installed-labels.ts';
import type { V1LabelSelector } from '@kubernetes/client-node';
import { stringify } from 'yaml';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { KubeObject } from '../api/kubernetes/resource.ts';
import { gatewaysAnnotation, type AllowedGateway } from '../api/link/import-policy.ts';
import { links, parseLink, type LinkObject, type LinkSpec } from '../api/link/link-schema.ts';

/** The target cluster's gateway, from its Service. */
export interface TargetGatewayFacts {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly identity: string;
  readonly probe: { readonly path: string; readonly port: number; readonly period: string };
}

/** Which Services of the target are mirrored, in which way, and which of their keys are not copied. */
export interface LinkSelection {
  readonly selector: V1LabelSelector;
  readonly remoteDiscoverySelector: V1LabelSelector;
  readonly federatedServiceSelector: V1LabelSelector;
  readonly excludedAnnotations: readonly string[];
  readonly excludedLabels: readonly string[];
}

/** Everything that the objects of a Link are made from. */
export interface LinkManifestFacts extends LinkSelection {
  readonly clusterName: string;
  /** Namespace of the Link and the mirror controller's Secret in the source cluster. */
  readonly namespace: string;
  /** Linkerd's namespace: of the destination controller's Secret there, and as the Link says it. */
  readonly linkerdNamespace: string;
  readonly clusterDomain: string;
  readonly trustDomain: string;
  readonly server: string;
  /** PEM; always inlined, because a path would mean nothing in a pod. */
  readonly ca: string | undefined;
  /** Name that the API server's certificate is checked against, where the kubeconfig names one. */
  readonly tlsServerName: string | undefined;
  /** Whether the kubeconfig leaves the API server's certificate unchecked. */
  readonly skipVerify: boolean;
  readonly serviceAccount: string;
  readonly token: string;
  /** Undefined with `--gateway=false`. */
  readonly gateway: TargetGatewayFacts | undefined;
  /** Namespaces of the target that the account may read; undefined: all. */
  readonly readableNamespaces: readonly string[] | undefined;
  /** Further gateways that exports may name by annotation. */
  readonly allowedGateways: readonly AllowedGateway[];
  /** Life of the token in milliseconds, which the controller renews; undefined: it never expires. */
  readonly tokenTtlMs: number | undefined;
  /** Whether the Secret for Linkerd's destination controller is printed. */
  readonly destinationCredentials: boolean;
  /** Version of this program, recorded as `linkerd.io/created-by`. */
  readonly version: string;
}

/**
 * The objects that are applied to the source cluster: the controller's Secret, the destination controller's
 * Secret, the Link.
 * @throws LinkspanError LINK_INVALID when no controller could use such a Link
 */
export function linkManifests(facts: LinkManifestFacts): KubeObject[] {
  const made = link(facts);
  const verdict = parseLink(made);
  if (!verdict.ok) {
    const problems = verdict.problems.map(({ field, problem }) => `${field} ${problem}`);
    throw new LinkspanError('LINK_INVALID', `the Link would be refused: ${problems.join('; ')}`);
  }
  const kubeconfig = stringify(kubeconfigOf(facts));
  const { clusterName, clusterDomain, trustDomain, tokenTtlMs } = facts;
  const secretIn = (namespace: string, reader: CredentialsReader) =>
    credentialsSecret({ namespace, name: credentialsName(clusterName) }, kubeconfig, reader);
  const mirrorSecret = secretIn(facts.namespace, { kind: 'controller', tokenTtlMs });
  const destination = { kind: 'destination', clusterName, clusterDomain, trustDomain } as const;
  const destinationSecret = secretIn(facts.linkerdNamespace, destination);
  return [mirrorSecret, ...(facts.destinationCredentials ? [destinationSecret] : []), made];
}

function kubeconfigOf(facts: LinkManifestFacts): object {
  const { clusterName, serviceAccount, server, ca, tlsServerName, skipVerify, token } = facts;
  const tls = {
    ...(ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') }),
    ...(tlsServerName === undefined ? {} : { 'tls-server-name': tlsServerName }),
    ...(skipVerify ? { 'insecure-skip-tls-verify': true } : {}),
  };
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: clusterName, cluster: { server, ...tls } }],
    contexts: [{ name: clusterName, context: { cluster: clusterName, user: serviceAccount } }],
    'current-context': clusterName,
    users: [{ name: serviceAccount, user: { token } }],
  };
}

function link(facts: LinkManifestFacts): LinkObject {
  return {
    apiVersion: `${links.group}/${links.version}`,
    kind: links.kind,
    metadata: {
      name: facts.clusterName,
      namespace: facts.namespace,
      annotations: {
        ...createdBy(facts.version),
        ...readableNamespacesAnnotation(facts.readableNamespaces),
        ...gatewaysAnnotation(facts.allowedGateways),
      },
    },
    spec: {
      targetClusterName: facts.clusterName,
      targetClusterDomain: facts.clusterDomain,
      targetClusterLinkerdNamespace: facts.linkerdNamespace,
      clusterCredentialsSecret: credentialsName(facts.clusterName),
      ...gatewaySpec(facts),
      remoteDiscoverySelector: facts.remoteDiscoverySelector,
      federatedServiceSelector: facts.federatedServiceSelector,
      ...(facts.excludedAnnotations.length === 0 ? {} : { excludedAnnotations: facts.excludedAnnotations }),
      ...(facts.excludedLabels.length === 0 ? {} : { excludedLabels: facts.excludedLabels }),
    },
  };
}

/** Without a gateway there is no selector either, as in Linkerd: nothing can be mirrored through it. */
function gatewaySpec({ gateway, selector }: LinkManifestFacts): Partial<LinkSpec> {
  if (gateway === undefined) return {};
  return {
    gatewayAddress: gateway.addresses.join(','),
    gatewayPort: String(gateway.port),
    gatewayIdentity: gateway.identity,
    probeSpec: { path: gateway.probe.path, port: String(gateway.probe.port), period: gateway.probe.period },
    selector,
  };
}

/** A gateway that exports of a target name by annotation, as the target has it now. */
export interface NamedGateway {
  /** `namespace/name`. */
  readonly gateway: string;
  /** How many exports name it. */
  readonly exports: number;
  /** Undefined where its Service is missing or incomplete. */
  readonly facts: TargetGatewayFacts | undefined;
  readonly problem: string | undefined;
}

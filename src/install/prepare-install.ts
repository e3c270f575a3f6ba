import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import type { KubeObject } from '../api/kubernetes/resource.ts';
import { OLDEST_KUBERNETES } from './charts.ts';
import { type InstallFacts, readInstallation, secretOf } from './install-facts.ts';
import type { Helm } from './helm.ts';
import { type IssuerFiles, issuerSecretName, planIssuer, trustDomainIn, withoutIssuer } from './issuer.ts';
import { assertFits, assertSameValues, clusterValues } from './install-plan.ts';
import { renderAll } from './render-chart.ts';
import { gatherValues, haValues, type HelmValueFlags, joinValues, valueAt, type Values } from './values.ts';

/** What `install` and `upgrade` were asked for. */
export interface InstallRequest {
  readonly verb: 'install' | 'upgrade';
  readonly namespace: string;
  readonly linkerdNamespace: string;
  /** Use the chart's values for high availability; the user's override them. */
  readonly ha: boolean;
  /** Values that were set by Linkspan's own flags. */
  readonly flagValues: Values;
  readonly helmFlags: HelmValueFlags;
  readonly issuerFiles: IssuerFiles | undefined;
  /**
   * Trust domains that are not to be trusted any more: removed from `identity.anchors` and
   * `gateway.allowTrustDomains`.
   */
  readonly distrusted: readonly string[];
  readonly force: boolean;
  readonly helm: Helm;
  readonly version: string;
}

/** Everything that is to be installed, with notes for the user. */
export interface PreparedInstall {
  readonly objects: readonly KubeObject[];
  readonly values: Values;
  /** Lines for the user. */
  readonly notes: readonly string[];
  /** Whether Linkspan was installed before, wholly or in part. */
  readonly before: boolean;
}

const UNSEEN: InstallFacts = {
  kubernetes: OLDEST_KUBERNETES,
  apiVersions: [],
  stored: undefined,
  helmRelease: undefined,
  deployed: false,
  podSecurity: undefined,
  linkerd: undefined,
};

/**
 * Makes the manifests; writes nothing.
 * @param client undefined with `--ignore-cluster`: no cluster is read
 * @throws LinkspanError HELM_…, VALUES_INVALID, INSTALLED_OTHERWISE, NOT_INSTALLED, RIGHTS_MISSING,
 * IDENTITY_…, KUBERNETES_TOO_OLD, or what the client throws
 */
export async function prepareInstall(
  client: KubeClient | undefined,
  request: InstallRequest,
): Promise<PreparedInstall> {
  const { namespace, helm, version } = request;
  const facts =
    client === undefined ? UNSEEN : await readInstallation(client, namespace, request.linkerdNamespace);
  assertFits(facts, request);
  const values = await valuesFor(facts, request);
  assertSameValues(facts, withoutIssuer(values), request);
  assertOwnDomain(values);
  const issuerSecret = issuerSecretName(values);
  const secret =
    client === undefined || issuerSecret === undefined
      ? undefined
      : await secretOf(client, namespace, issuerSecret);
  const issuer = await planIssuer(values, { files: request.issuerFiles, secret });
  const kept = issuer.from === 'values' ? values : withoutIssuer(values);
  const objects = await renderAll({
    helm,
    namespace,
    kubernetes: facts.kubernetes,
    apiVersions: facts.apiVersions,
    podSecurity: facts.podSecurity,
    values: kept,
    once: issuer.values,
    version,
  });
  return {
    objects,
    values: kept,
    notes: [...linkerdNotes(facts, kept), ...issuerNotes(issuer, kept, `${namespace}/${issuerSecret ?? ''}`)],
    before: facts.stored !== undefined || facts.deployed,
  };
}

/**
 * Values that the given ones override: the stored ones (`upgrade`), or those that follow from the cluster.
 */
async function valuesFor(facts: InstallFacts, request: InstallRequest): Promise<Values> {
  const { verb, ha, issuerFiles, flagValues, helmFlags, helm, distrusted } = request;
  const stored = verb === 'upgrade' ? facts.stored : undefined;
  const before = withoutDomains(stored ?? clusterValues(facts, issuerFiles !== undefined), distrusted);
  const base = [ha ? await haValues() : {}, before, flagValues].reduce(joinValues);
  return gatherValues(helm, base, helmFlags);
}

/**
 * Refuses a trust domain of the cluster's own where Linkerd's identity service defines it.
 * @throws LinkspanError CONFIG_INVALID
 */
function assertOwnDomain(values: Values): void {
  if (!valueAt(values, 'clusterName') || valueAt(values, 'identity.source') !== 'linkerd') return;
  throw new LinkspanError(
    'CONFIG_INVALID',
    `clusterName: certificates come from Linkerd's identity service, whose trust domain (${String(valueAt(values, 'identityTrustDomain'))}) is Linkerd's`,
    {
      hint: 'Leave --cluster-name out, or give an issuer of your own: --identity-issuer-certificate-file and its like.',
    },
  );
}

function linkerdNotes(facts: InstallFacts, values: Values): string[] {
  const { source } = (values['identity'] ?? {}) as { source?: unknown };
  if (facts.linkerd === undefined || source !== 'linkerd') return [];
  return ["Linkerd is installed: gateway and egress get their certificates from Linkerd's identity service"];
}

function issuerNotes(
  { from, notAfter }: { readonly from: string; readonly notAfter?: number },
  values: Values,
  secret: string,
): string[] {
  const until =
    notAfter === undefined ? '' : `, valid until ${new Date(notAfter).toISOString().slice(0, 10)}`;
  if (from === 'kept') return [`the issuer in Secret ${secret} is kept${until}`];
  if (from !== 'made') return [];
  const domain = trustDomainIn(values);
  return [
    `a trust anchor and an issuer were made for ${domain}${until}: the gateways of other clusters are believed, and theirs believe this one, once each cluster has the other's anchor certificate (ca.crt of ConfigMap linkspan-trust; linkspan upgrade --anchors <domain>=<file>). No key has to leave this cluster`,
    ...(valueAt(values, 'clusterName')
      ? []
      : [`the trust domain ${domain} is not this cluster's alone: with --cluster-name it would be`]),
  ];
}

/**
 * Values without the trust in some domains: their anchors, and their permission at the gateway.
 * @throws LinkspanError CONFIG_INVALID for a domain that is not trusted anyway
 */
function withoutDomains(values: Values, domains: readonly string[]): Values {
  if (domains.length === 0) return values;
  const identity = (values['identity'] ?? {}) as Values;
  const gateway = (values['gateway'] ?? {}) as Values;
  const anchors = { ...((identity['anchors'] ?? {}) as Values) };
  const allowed = (gateway['allowTrustDomains'] ?? []) as readonly string[];
  for (const domain of domains) {
    if (!(domain in anchors) && !allowed.includes(domain))
      throw new LinkspanError(
        'CONFIG_INVALID',
        `--distrust: ${domain} is not trusted (${[...new Set([...Object.keys(anchors), ...allowed])].join(', ') || 'nor is any other domain'})`,
      );
    delete anchors[domain];
  }
  const allowTrustDomains = allowed.filter((domain) => !domains.includes(domain));
  return { ...values, identity: { ...identity, anchors }, gateway: { ...gateway, allowTrustDomains } };
}

import type { KubeClient } from '../kube/client.ts';
import type { KubeObject } from '../kube/resource.ts';
import { OLDEST_KUBERNETES } from './charts.ts';
import { type InstallFacts, readInstallation, secretOf } from './facts.ts';
import type { Helm } from './helm.ts';
import { type IssuerFiles, issuerSecretName, planIssuer, withoutIssuer } from './issuer.ts';
import { assertFits, assertSameValues, clusterValues } from './plan.ts';
import { renderAll } from './render.ts';
import { gatherValues, haValues, type HelmValueFlags, joinValues, type Values } from './values.ts';

/** What `install` and `upgrade` are told. */
export interface InstallRequest {
  readonly verb: 'install' | 'upgrade';
  readonly namespace: string;
  readonly linkerdNamespace: string;
  /** Put the chart's values for high availability below the others. */
  readonly ha: boolean;
  /** Values that flags of ours stand for. */
  readonly flagValues: Values;
  readonly helmFlags: HelmValueFlags;
  readonly issuerFiles: IssuerFiles | undefined;
  readonly force: boolean;
  readonly helm: Helm;
  readonly version: string;
}

/** Everything that is to be installed, and what is to be said about it. */
export interface Prepared {
  readonly objects: readonly KubeObject[];
  readonly values: Values;
  /** Lines for people. */
  readonly notes: readonly string[];
  /** Whether Linkspan was there before, wholly or in part. */
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
 * @param client undefined with `--ignore-cluster`: nothing is looked at
 * @throws LinkspanError HELM_…, VALUES_INVALID, INSTALLED_OTHERWISE, NOT_INSTALLED, RIGHTS_MISSING, IDENTITY_…, KUBERNETES_TOO_OLD, or what the client throws
 */
export async function prepare(client: KubeClient | undefined, request: InstallRequest): Promise<Prepared> {
  const { namespace, helm, version } = request;
  const facts =
    client === undefined ? UNSEEN : await readInstallation(client, namespace, request.linkerdNamespace);
  assertFits(facts, request);
  const values = await valuesFor(facts, request);
  assertSameValues(facts, withoutIssuer(values), request);
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
    notes: [...linkerdNotes(facts, kept), ...issuerNotes(issuer, `${namespace}/${issuerSecret ?? ''}`)],
    before: facts.stored !== undefined || facts.deployed,
  };
}

/** Below what is given now: what was given before (`upgrade`), or what the cluster says of itself. */
async function valuesFor(facts: InstallFacts, request: InstallRequest): Promise<Values> {
  const { verb, ha, issuerFiles, flagValues, helmFlags, helm } = request;
  const before = verb === 'upgrade' ? (facts.stored ?? {}) : clusterValues(facts, issuerFiles !== undefined);
  const base = [ha ? await haValues() : {}, before, flagValues].reduce(joinValues);
  return gatherValues(helm, base, helmFlags);
}

function linkerdNotes(facts: InstallFacts, values: Values): string[] {
  const { source } = (values['identity'] ?? {}) as { source?: unknown };
  if (facts.linkerd === undefined || source !== 'linkerd') return [];
  return ["Linkerd is installed: gateway and egress get their certificates from Linkerd's identity service"];
}

function issuerNotes(
  { from, notAfter }: { readonly from: string; readonly notAfter?: number },
  secret: string,
): string[] {
  const until =
    notAfter === undefined ? '' : `, valid until ${new Date(notAfter).toISOString().slice(0, 10)}`;
  if (from === 'kept') return [`the issuer in Secret ${secret} is kept${until}`];
  if (from !== 'made') return [];
  return [
    `a trust anchor and an issuer were made${until}: clusters that are linked need issuers of the same trust anchor (--identity-trust-anchors-file and its like, or a copy of Secret ${secret})`,
  ];
}

import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../src/api/kubernetes/resource.ts';
import { binaries } from '../testbed/binaries.ts';

export const CHARTS = path.join(import.meta.dirname, '../../charts');
/** The namespace of the extension. */
export const MULTICLUSTER = 'linkerd-multicluster';

const HA = ['-f', path.join(CHARTS, 'linkspan/values-ha.yaml')];
const NODE_PORT = '--set=gateway.serviceType=NodePort,gateway.nodePort=30143,gateway.probe.nodePort=30191';
/** What people install, by how the golden files are called: flags of helm. */
export const RENDERS: Readonly<Record<string, readonly string[]>> = {
  default: [],
  ha: HA,
  'node-port': [NODE_PORT],
  'no-gateway': ['--set=gateway.enabled=false,remoteMirrorServiceAccount=false'],
  'cert-manager': ['--set=identity.source=certManager,egress.clients=false'],
  linkerd: ['--set=identity.source=linkerd,remoteAccess.linkerd=true'],
  least: [
    '--set=identity.source=secrets,gateway.policy=off,gateway.mesh=off',
    '--set=gateway.routes=profile,gateway.zoneAware=false,tap.enabled=false',
    '--set=remoteAccess.tokenSecrets=false,createNamespaceMetadataJob=false,networkPolicy.enabled=true',
  ],
  scoped: [
    '--set=scope.namespaces={shop,pay},identity.source=secrets',
    '--set=createNamespaceMetadataJob=false',
  ],
  everything: [
    ...HA,
    '--set=admissionPolicy.enabled=true,admissionPolicy.writers={backup},gateway.handMadeSlices={vms}',
    '--set=networkPolicy.enabled=true,podMonitor.enabled=true,serviceMonitor.enabled=true,monitoring.rules.enabled=true,enableNamespaceCreation=true',
    '--set=networkPolicy.gatewayClients={10.0.0.0/8},gateway.allowTrustDomains={east.example},gateway.exportSelectors={a=b}',
    '--set=gateway.trustedRelays={linkspan-egress.linkerd-multicluster.serviceaccount.identity.linkerd.east.example},egress.defaultRelayPolicy=namespace',
    '--set=gateway.listeners[0].name=web,gateway.listeners[0].port=8443,gateway.listeners[0].target=web.shop:80/http',
    '--set=gateway.serviceExternalTrafficPolicy=Local,gateway.loadBalancerSourceRanges={10.0.0.0/8},controller.enableHeadlessServices=true',
    '--set=clusterName=west,tracing.endpoint=http://collector.observability:4318,tracing.headersSecret.name=collector',
    '--set-string=identity.anchors.east\\.cluster\\.local=PEM',
    '--set=controller.import.annotationExports=false,controller.import.steeringMetadata=true,controller.import.learnRanges=false,controller.failover.weights=false',
    '--set=controller.import.onlyLabels={app},controller.import.onlyAnnotations={a.example/*},controller.import.protectedNamespaces={vault}',
    '--set=controller.localMembers.excludedLabels={team},controller.localMembers.excludedAnnotations={a.example/*}',
    '--set=source.podCIDRs={10.244.0.0/16},source.serviceCIDRs={10.96.0.0/12,fd00:96::/108},source.nodeCIDRs={192.168.0.0/24}',
    '--set=remoteMirrorServiceAccountName={east,north},priorityClassName=system-cluster-critical,imagePullSecrets[0].name=registry',
  ],
};

const ACCOUNTS = new Set(['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding']);

/** Runs the testbed's helm. Rejects with what it said when it fails. */
export async function helm(...args: string[]): Promise<string> {
  const { helm: program } = binaries(['helm']);
  const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

const renders = new Map<string, Promise<string>>();

/**
 * What the chart makes of values (`--set`, `-f` and other flags of helm). The same flags are rendered once
 * per process: the chart and the files that flags name do not change while tests run.
 */
export function renderChart(flags: readonly string[] = [], namespace = MULTICLUSTER): Promise<string> {
  const args = ['template', 'linkspan', path.join(CHARTS, 'linkspan'), '-n', namespace, ...flags];
  const key = JSON.stringify(args);
  const render = renders.get(key) ?? helm(...args);
  renders.set(key, render);
  return render;
}

export function objectsOf(text: string): KubeObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
}

/**
 * The namespace, accounts and rules that the chart installs, with further values: what they do not grant must
 * not be needed.
 */
export async function chartAccounts(
  namespace = MULTICLUSTER,
  flags: readonly string[] = [],
): Promise<object[]> {
  const rendered = await renderChart(['--set', 'createNamespaceMetadataJob=false', ...flags], namespace);
  const objects = objectsOf(rendered);
  const home = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  return [home, ...objects.filter(({ kind }) => ACCOUNTS.has(kind ?? ''))];
}

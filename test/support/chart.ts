import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../src/kube/objects/resource.ts';
import { binaries } from '../testbed/binaries.ts';

export const CHARTS = path.join(import.meta.dirname, '../../charts');
/** The namespace of the extension. */
export const MULTICLUSTER = 'linkerd-multicluster';

const ACCOUNTS = new Set(['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding']);

/** Runs the testbed's helm. Rejects with what it said when it fails. */
export async function helm(...args: string[]): Promise<string> {
  const { helm: program } = binaries(['helm']);
  const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

/** What the chart makes of values (`--set`, `-f` and other flags of helm). */
export function renderChart(flags: readonly string[] = [], namespace = MULTICLUSTER): Promise<string> {
  return helm('template', 'linkspan', path.join(CHARTS, 'linkspan'), '-n', namespace, ...flags);
}

export function objectsOf(text: string): KubeObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
}

/** The namespace, accounts and rules that the chart installs, with further values: what they do not grant must not be needed. */
export async function chartAccounts(
  namespace = MULTICLUSTER,
  flags: readonly string[] = [],
): Promise<object[]> {
  const rendered = await renderChart(['--set', 'createNamespaceMetadataJob=false', ...flags], namespace);
  const objects = objectsOf(rendered);
  const home = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  return [home, ...objects.filter(({ kind }) => ACCOUNTS.has(kind ?? ''))];
}

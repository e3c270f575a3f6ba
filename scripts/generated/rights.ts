/** The table of who may do what in docs/reference/chart.md, from what the chart renders. */
import type { V1PolicyRule, V1RoleBinding } from '@kubernetes/client-node';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../src/api/kubernetes/resource.ts';

const ROOT = path.join(import.meta.dirname, '../..');

/** Columns of the table: renders of test/golden/chart, which an integration test holds against the chart. */
const RENDERS = {
  default: 'default',
  linkerd: 'Linkerd',
  least: 'least',
  scoped: 'scoped',
} as const;
type Render = keyof typeof RENDERS;

/** One right of an account. */
export interface Right {
  readonly account: string;
  /** A namespace, or undefined: in all of them, and on what is in none. */
  readonly namespace: string | undefined;
  readonly verb: string;
  readonly group: string;
  /** With its subresource. */
  readonly resource: string;
  /** Only the objects of this name; undefined: any. */
  readonly name: string | undefined;
}

interface Role extends KubeObject {
  readonly rules?: readonly V1PolicyRule[];
}

/** What the accounts of a render may do: by its Roles and ClusterRoles and who is bound to them. Pure. */
export function rightsOf(objects: readonly KubeObject[]): Right[] {
  return objects.flatMap((object) => {
    if (object.kind !== 'RoleBinding' && object.kind !== 'ClusterRoleBinding') return [];
    const { roleRef, subjects = [], metadata } = object as V1RoleBinding;
    const role = objects.find(
      (one): one is Role =>
        one.kind === roleRef.kind &&
        one.metadata?.name === roleRef.name &&
        (one.kind === 'ClusterRole' || one.metadata?.namespace === metadata?.namespace),
    );
    return subjects.flatMap(({ name: account }) =>
      (role?.rules ?? []).flatMap((rule) => rightsOfRule(account, metadata?.namespace, rule)),
    );
  });
}

function rightsOfRule(account: string, namespace: string | undefined, rule: V1PolicyRule): Right[] {
  const { apiGroups = [], resources = [], resourceNames = [undefined], verbs } = rule;
  return apiGroups.flatMap((group) =>
    resources.flatMap((resource) =>
      resourceNames.flatMap((name) =>
        verbs.map((verb) => ({ account, namespace, verb, group, resource, name })),
      ),
    ),
  );
}

/** The objects of a golden render. */
export function rendered(name: string): KubeObject[] {
  const text = readFileSync(path.join(ROOT, `test/golden/chart/${name}.yaml`), 'utf8');
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
}

/** The table, in Markdown. */
export function rightsTable(): string {
  /** By account, place and what; in the order of the renders. */
  const rows = new Map<string, Map<Render, string[]>>();
  for (const render of Object.keys(RENDERS) as Render[])
    for (const right of rightsOf(rendered(render))) {
      const key = [right.account, placeOf(right), whatOf(right)].join(' | ');
      const cells = rows.get(key) ?? new Map<Render, string[]>();
      rows.set(key, cells);
      cells.set(render, [...new Set([...(cells.get(render) ?? []), right.verb])]);
    }
  const lines = [...rows]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, cells]) => {
      const verbs = (Object.keys(RENDERS) as Render[]).map((render) => cells.get(render)?.join(' ') ?? '–');
      return `| ${[key, ...verbs].join(' | ')} |`;
    });
  return [
    `| account | where | what | ${Object.values(RENDERS).join(' | ')} |`,
    `| --- | --- | --- | ${Object.keys(RENDERS)
      .map(() => '---')
      .join(' | ')} |`,
    ...lines,
  ].join('\n');
}

/** Namespaces of the render `scoped`. */
const SCOPE = new Set(['shop', 'pay']);

function placeOf({ namespace }: Right): string {
  if (namespace === undefined) return '**everywhere**';
  return SCOPE.has(namespace) ? 'each of `scope.namespaces`' : namespace;
}

function whatOf({ group, resource, name }: Right): string {
  const what = group === '' ? resource : `${resource} (${group})`;
  return name === undefined ? what : `${what} \`${name}\``;
}

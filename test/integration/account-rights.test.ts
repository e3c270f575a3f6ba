import { expect } from 'chai';
import { type Right, rightsOf } from '../../scripts/generated/rights.ts';
import { systemClock } from '../../src/base/clock.ts';
import { deniedRights } from '../../src/kube/client/access-review.ts';
import { isForbidden, type KubeClient } from '../../src/kube/client/kube-client.ts';
import {
  clusterRoleBindings,
  clusterRoles,
  type KubeObject,
  type Resource,
  roleBindings,
  roles,
} from '../../src/api/kubernetes/resource.ts';
import { clientAs } from '../support/account-client.ts';
import { captureLog } from '../support/captured-log.ts';
import { chartAccounts, MULTICLUSTER, objectsOf, RENDERS, renderChart } from '../support/chart.ts';
import { ensureNamespace, remove } from '../support/cluster-objects.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster } from '../testbed/shared.ts';

/** The columns of the table of who may do what (docs/reference/chart.md). */
const TRIED = ['default', 'linkerd', 'least', 'scoped'] as const;
/** What gives the accounts their rights. */
const RULES: readonly Resource<KubeObject>[] = [clusterRoles, clusterRoleBindings, roles, roleBindings];
/** A namespace that no value names. */
const OUTSIDE = 'outside';
/** Requests at a time. */
const AT_ONCE = 50;
/** What gives everything else, and what nobody of ours may ever. */
const NEVER: readonly Omit<Right, 'account' | 'namespace'>[] = [
  { verb: 'get', group: '', resource: 'secrets', name: 'linkspan-issuer' },
  { verb: 'create', group: '', resource: 'pods', name: undefined },
  { verb: 'create', group: '', resource: 'pods/exec', name: undefined },
  { verb: 'create', group: '', resource: 'serviceaccounts/token', name: 'default' },
  { verb: 'get', group: '', resource: 'nodes/proxy', name: undefined },
  { verb: 'impersonate', group: '', resource: 'users', name: undefined },
  { verb: 'bind', group: 'rbac.authorization.k8s.io', resource: 'clusterroles', name: 'cluster-admin' },
  { verb: 'escalate', group: 'rbac.authorization.k8s.io', resource: 'roles', name: undefined },
  { verb: 'create', group: 'rbac.authorization.k8s.io', resource: 'clusterrolebindings', name: undefined },
  {
    verb: 'create',
    group: 'admissionregistration.k8s.io',
    resource: 'mutatingwebhookconfigurations',
    name: undefined,
  },
];

/**
 * What an account may not do is tried with its token, for each way to install that the documentation has a
 * column for: rights that only one of them needs are not left standing in another, and those of one account,
 * name or namespace are not another's.
 */
describe('the accounts of the chart', function () {
  const closed = closedIn(after);
  const options = { clock: systemClock, random: Math.random, log: captureLog().log };
  let cluster: Cluster;
  let everything: readonly Right[];
  let installed: readonly KubeObject[] = [];

  before(async () => {
    cluster = closed(await bareCluster('accounts'), (one) => one.stop());
    for (const name of [MULTICLUSTER, 'linkerd', 'shop', 'pay', OUTSIDE])
      await ensureNamespace(cluster, name);
    const renders = await Promise.all(Object.values(RENDERS).map((flags) => renderChart(flags)));
    everything = tries(renders.flatMap((text) => rightsOf(objectsOf(text))));
  });

  for (const name of TRIED)
    it(`may do what the table says of ${name}, and nothing else that any of them may, here or elsewhere`, async () => {
      const flags = RENDERS[name] ?? [];
      const rights = rightsOf(objectsOf(await renderChart(flags)));
      await install(flags);
      const accounts = [...new Set(rights.map(({ account }) => account))];
      expect(accounts.length).to.be.at.least(5);
      const clients = new Map<string, KubeClient>();
      for (const account of accounts)
        clients.set(
          account,
          closed(await clientAs(cluster, { name: account }, options), (one) => one.close()),
        );
      // The authorizer hears of roles by watches of its own.
      await eventually('the roles are there', async () => {
        for (const [account, client] of clients) {
          const own = rights.filter((right) => right.account === account);
          if ((await denied(client, own)).length > 0) return false;
        }
        return true;
      });
      for (const [account, client] of clients) {
        const own = rights.filter((right) => right.account === account);
        const others = everything.filter((right) => !own.some((one) => covers(one, right)));
        expect(others.length).to.be.at.least(everything.length / 4);
        const wrong: string[] = [];
        for (let at = 0; at < others.length; at += AT_ONCE)
          await Promise.all(
            others.slice(at, at + AT_ONCE).map(async (right) => {
              if (await mayDo(client, right)) wrong.push(JSON.stringify(right));
            }),
          );
        expect(wrong, account).to.deep.equal([]);
      }
    });

  /** Puts the accounts and rules of a render there, in place of those of before. */
  async function install(flags: readonly string[]): Promise<void> {
    const objects = (await chartAccounts(MULTICLUSTER, [
      ...flags,
      '--set=createNamespaceMetadataJob=true',
    ])) as KubeObject[];
    const rules = installed.filter(({ kind }) => kind !== 'Namespace' && kind !== 'ServiceAccount');
    for (const { kind = '', metadata } of rules) {
      const resource = RULES.find((one) => one.kind === kind);
      if (resource === undefined) throw new Error(`no rule: ${kind}`);
      const { namespace, name = '' } = metadata ?? {};
      await remove(cluster, resource, namespace === undefined ? { name } : { namespace, name });
    }
    installed = objects;
    await cluster.apply(objects);
  }
});

/**
 * What to try: each right once, where somebody has it, in a namespace where nobody does, and in all of them.
 */
function tries(rights: readonly Right[]): Right[] {
  const found = new Map<string, Right>();
  // Forty ConfigMaps of one kind: the first and the last.
  for (const right of [...rights, ...NEVER.map((one) => ({ ...one, account: '', namespace: MULTICLUSTER }))])
    if (!/^linkspan-egress-routes-(?!0$|39$)/.test(right.name ?? ''))
      for (const namespace of [right.namespace, OUTSIDE, undefined])
        for (const name of [right.name, undefined]) {
          const one = { ...right, account: '', namespace, name };
          found.set(JSON.stringify(Object.values(one)), one);
        }
  return [...found.values()];
}

/** Whether the one right holds wherever the other does. */
function covers(one: Right, other: Right): boolean {
  return (
    one.verb === other.verb &&
    one.group === other.group &&
    one.resource === other.resource &&
    (one.namespace === undefined || one.namespace === other.namespace) &&
    (one.name === undefined || one.name === other.name)
  );
}

const attributesOf = ({ namespace, verb, group, resource, name }: Right) => {
  const [plural, subresource] = resource.split('/');
  return {
    group,
    verb,
    ...(plural === undefined ? {} : { resource: plural }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(subresource === undefined ? {} : { subresource }),
    ...(name === undefined ? {} : { name }),
  };
};

/** What the API server answers an account that asks whether it may. */
const denied = (client: KubeClient, rights: readonly Right[]) =>
  deniedRights(client, rights.map(attributesOf));

/**
 * Whether an account is let do it: it does it, where that is one request, and asks whether it may, elsewhere.
 */
async function mayDo(client: KubeClient, right: Right): Promise<boolean> {
  const attempt = attemptOf(client, right);
  if (attempt === undefined) return (await denied(client, [right])).length === 0;
  try {
    await attempt();
    return true;
  } catch (error) {
    // Another reason is one of those who may: it is not there, it is none.
    return !isForbidden(error);
  }
}

function attemptOf(client: KubeClient, right: Right): (() => Promise<unknown>) | undefined {
  const { verb, group, resource: plural, namespace, name } = right;
  // The path of a namespace is one in this namespace; subresources have verbs of their own.
  if (plural.includes('/') || plural === 'namespaces') return undefined;
  const resource: Resource<KubeObject> = {
    group,
    version: 'v1',
    kind: 'Tried',
    plural,
    namespaced: namespace !== undefined,
  };
  const where = namespace === undefined ? {} : { namespace };
  const ref = { ...where, name: name ?? 'no-such' };
  const patch = { metadata: { labels: { tried: 'true' } } };
  if (verb === 'get') return () => client.get(resource, ref);
  if (verb === 'list' && name === undefined) return () => client.list(resource, where);
  if (verb === 'patch') return () => client.patch(resource, ref, patch, { type: 'merge' });
  if (verb === 'delete') return () => client.delete(resource, ref);
  return undefined;
}

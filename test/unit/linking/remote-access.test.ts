import type { V1ClusterRole, V1PolicyRule, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { READABLE_NAMESPACES, REMOTE_ACCESS_ACCOUNT } from '../../../src/api/names.ts';
import type { KubeObject } from '../../../src/api/kubernetes/resource.ts';
import { remoteAccessManifests } from '../../../src/linking/remote-access.ts';
import { rightsOf } from '../../../scripts/generated/rights.ts';
import { objectsOf } from '../../support/chart.ts';
import { linkGenReads } from '../../support/linkerd-reading.ts';

/** What the chart renders (test/unit/charts.test.ts keeps the files true). */
const rendered = (name: string): KubeObject[] =>
  objectsOf(readFileSync(path.join(import.meta.dirname, `../../golden/chart/${name}.yaml`), 'utf8'));
const find = (objects: readonly KubeObject[], kind: string, name: string): KubeObject => {
  const found = objects.find((object) => object.kind === kind && object.metadata?.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
};

/** Rules without their order. */
const sorted = (rules: readonly V1PolicyRule[] | undefined): string[] =>
  (rules ?? [])
    .flatMap(({ apiGroups = [], resources = [], resourceNames = [], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          verbs.map((verb) => `${verb} ${group}/${resource} ${resourceNames.join()}`),
        ),
      ),
    )
    .sort((a, b) => (a < b ? -1 : 1));

describe('the chart and the verbs of linking', () => {
  const account = { namespace: 'linkerd-multicluster', name: REMOTE_ACCESS_ACCOUNT };
  const allowed = (linkerd: boolean) =>
    remoteAccessManifests({ account, linkerd, boundTokens: true, version: '1' });

  for (const [name, linkerd] of [
    ['default', false],
    ['linkerd', true],
  ] as const)
    it(`give an account the same rights: ${name}`, () => {
      const [chart, ours] = [rendered(name), allowed(linkerd)];
      for (const kind of ['ClusterRole', 'Role']) {
        const rulesOf = (objects: readonly KubeObject[]) =>
          sorted((find(objects, kind, REMOTE_ACCESS_ACCOUNT) as V1ClusterRole).rules);
        expect(rulesOf(ours), kind).to.deep.equal(rulesOf(chart));
      }
    });

  it('give an account the same rights: scoped, and the same word where it may read', () => {
    const chart = rendered('scoped');
    const ours = remoteAccessManifests({
      account,
      linkerd: false,
      boundTokens: true,
      version: '1',
      namespaces: ['shop', 'pay'],
    });
    const rightsIn = (objects: readonly KubeObject[]) =>
      rightsOf(objects)
        .filter(({ account: name }) => name === REMOTE_ACCESS_ACCOUNT)
        .map((right) => JSON.stringify(right))
        .toSorted();
    expect(rightsIn(ours)).to.deep.equal(rightsIn(chart));
    const readable = (objects: readonly KubeObject[]) =>
      find(objects, 'ServiceAccount', REMOTE_ACCESS_ACCOUNT).metadata?.annotations?.[READABLE_NAMESPACES];
    expect(readable(ours)).to.equal('shop,pay,linkerd-multicluster');
    expect(readable(chart)).to.equal('shop,pay,linkerd-multicluster');
  });

  for (const name of ['default', 'ha', 'linkerd', 'cert-manager'])
    it(`have a gateway that Linkerd's link-gen reads: ${name}`, () => {
      const service = find(rendered(name), 'Service', 'linkerd-gateway') as V1Service;
      const read = linkGenReads({ ...service, status: { loadBalancer: { ingress: [{ ip: '10.0.0.1' }] } } });
      expect(read).to.deep.equal({
        address: '10.0.0.1',
        port: 4143,
        identity: 'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local',
        probe: { path: '/ready', port: 4191, period: '3s' },
      });
    });

  it("have one that it reads of type NodePort, with the node's ports and addresses that a person names", () => {
    const service = find(rendered('node-port'), 'Service', 'linkerd-gateway') as V1Service;
    expect(linkGenReads(service, '10.0.0.7,10.0.0.8')).to.deep.include({
      address: '10.0.0.7,10.0.0.8',
      port: 30_143,
    });
    expect(() => linkGenReads(service)).to.throw(
      'gateway linkerd-gateway.linkerd-multicluster has no ingress addresses',
    );
  });
});

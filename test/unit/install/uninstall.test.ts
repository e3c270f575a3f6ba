import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { codeOf } from '../../../src/api/errors/linkspan-error.ts';
import { INSTALLED_KINDS, prunable } from '../../../src/install/installed-objects.ts';
import { planUninstall, type UninstallFacts } from '../../../src/install/uninstall.ts';
import type { WeightsRelease } from '../../../src/install/written-weights.ts';
import { parseManifests, titleOf } from '../../../src/manifests/manifests.ts';
import type { KubeObject } from '../../../src/api/kubernetes/resource.ts';
import { remoteAccessManifests } from '../../../src/linking/remote-access.ts';

const HOME = 'linkerd-multicluster';
const GOLDEN = path.join(import.meta.dirname, '../../golden/chart');

const object = (kind: string, name: string, more: object = {}, namespace?: string): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, ...(namespace === undefined ? {} : { namespace }), ...more },
});
const ofChart = {
  labels: { 'app.kubernetes.io/instance': 'linkspan', 'app.kubernetes.io/name': 'linkspan' },
};

const facts: UninstallFacts = {
  links: [],
  installed: {
    objects: [
      object('Namespace', HOME),
      object('ClusterRole', 'linkspan-egress'),
      object('Deployment', 'linkspan-egress', {}, HOME),
    ],
    unseen: [],
  },
  others: [],
  weighted: [],
  crd: object('CustomResourceDefinition', 'links.multicluster.linkerd.io'),
};
const request = { namespace: HOME, force: false, crds: false, apply: false };
const link = {
  apiVersion: 'multicluster.linkerd.io/v1alpha3',
  kind: 'Link',
  metadata: { name: 'west', namespace: HOME },
  spec: { targetClusterName: 'west-1' },
} as UninstallFacts['links'][number];
const titles = (objects: readonly KubeObject[]) => objects.map(titleOf);
const codeFrom = (what: () => unknown) => {
  try {
    what();
  } catch (error) {
    return codeOf(error);
  }
  return undefined;
};

describe('uninstalling', () => {
  it('takes things in the opposite order of installing, and says that the CRD stays', () => {
    const { objects, notes } = planUninstall(facts, request);
    expect(titles(objects)).to.deep.equal([
      `Deployment ${HOME}/linkspan-egress`,
      'ClusterRole linkspan-egress',
      `Namespace ${HOME}`,
    ]);
    expect(notes).to.deep.equal([
      'CRD links.multicluster.linkerd.io stays (--crds deletes it too, and with it every Link)',
    ]);
    const all = planUninstall(facts, { ...request, crds: true });
    expect(titles(all.objects)).to.include('CustomResourceDefinition links.multicluster.linkerd.io');
    expect(all.notes).to.deep.equal([]);
  });

  it('is refused while clusters are linked; forced, it keeps their namespace', () => {
    const linked = { ...facts, links: [link] };
    expect(codeFrom(() => planUninstall(linked, request))).to.equal('LINKS_EXIST');
    expect(() => planUninstall(linked, request)).to.throw(/uninstalling multicluster: west-1$/);
    const { objects, notes } = planUninstall(linked, { ...request, force: true });
    expect(titles(objects)).to.not.include(`Namespace ${HOME}`);
    expect(notes[0]).to.equal(`Links and what they have mirrored stay: ${HOME}/west`);
  });

  const release = (more: Partial<WeightsRelease> = {}): WeightsRelease => ({
    object: object('TrafficSplit', 'web', {}, 'shop'),
    kind: { kind: 'TrafficSplit', field: 'backends' },
    resource: { group: 'g', version: 'v1', kind: 'TrafficSplit', plural: 'trafficsplits', namespaced: true },
    stays: [],
    refusal: undefined,
    ...more,
  });

  // Weights of an outage would have stayed for ever: 0 for the Service that is well again.
  it('says in which objects weights stand that failover has written, and what becomes of them', () => {
    const weighted = [release()];
    const [note] = planUninstall({ ...facts, weighted }, request).notes;
    expect(note).to.match(
      /stay as they are now; `linkspan uninstall --apply` puts .*: TrafficSplit shop\/web$/,
    );
    const [applied, ...rest] = planUninstall({ ...facts, weighted }, { ...request, apply: true }).notes;
    expect(applied).to.match(/are put back as their author wrote them.*: TrafficSplit shop\/web$/);
    expect(rest).to.have.length(1);
  });

  it('is not begun where weights could not be put back, unless it is forced, and names them', () => {
    const weighted = [release({ refusal: 'forbidden' }), release({ stays: ['edited since'] })];
    const from = { ...facts, weighted };
    expect(codeFrom(() => planUninstall(from, { ...request, apply: true }))).to.equal('WEIGHTS_STAY');
    for (const one of [request, { ...request, apply: true, force: true }])
      expect(planUninstall(from, one).notes[1]).to.equal(
        'Of these weights some cannot be put back: TrafficSplit shop/web: forbidden; TrafficSplit shop/web: edited since',
      );
  });

  it("keeps a namespace that others use, and one that is not the extension's", () => {
    const others = Array.from({ length: 7 }, (_, index) => object('Pod', `p${index}`, {}, HOME));
    const { objects, notes } = planUninstall({ ...facts, others }, request);
    expect(titles(objects)).to.not.include(`Namespace ${HOME}`);
    expect(notes[0]).to.match(/stays, it has others' objects: Pod \S+p0, .*p4 and 2 more$/);
    const elsewhere = planUninstall(facts, { ...request, namespace: 'other' });
    expect(titles(elsewhere.objects)).to.not.include(`Namespace ${HOME}`);
  });

  it('leaves what Helm has installed to Helm', () => {
    const annotations = { 'meta.helm.sh/release-name': 'mc' };
    const installed = { objects: [object('Deployment', 'd', { annotations }, HOME)], unseen: [] };
    expect(codeFrom(() => planUninstall({ ...facts, installed }, request))).to.equal('HELM_RELEASE');
    expect(planUninstall({ ...facts, installed }, { ...request, force: true }).objects).to.have.length(1);
  });

  it('knows every kind that the chart makes', () => {
    const known = new Set(
      Object.entries(INSTALLED_KINDS).flatMap(([version, kinds]) =>
        kinds.map((kind) => `${version} ${kind}`),
      ),
    );
    const made = readdirSync(GOLDEN).flatMap((file) =>
      parseManifests(readFileSync(path.join(GOLDEN, file), 'utf8'), file),
    );
    expect(made.length).to.be.greaterThan(100);
    const unknown = made.map(({ apiVersion = '', kind = '' }) => `${apiVersion} ${kind}`);
    expect([...new Set(unknown)].filter((kind) => !known.has(kind))).to.deep.equal([]);
  });
});

describe('what an upgrade leaves behind', () => {
  const left = (installed: KubeObject, wanted: readonly KubeObject[] = []) =>
    titles(prunable([installed], wanted, HOME));

  it('is what the chart made and no longer makes', () => {
    const role = object('ClusterRole', 'linkspan-egress', ofChart);
    expect(left(role)).to.deep.equal(['ClusterRole linkspan-egress']);
    expect(left(role, [role])).to.deep.equal([]);
  });

  it('is never an account of `allow`, an issuer, or of another namespace', () => {
    // An upgrade that takes them away cuts off every source cluster that has one.
    const account = { namespace: HOME, name: 'mirror-east' };
    for (const boundTokens of [true, false])
      for (const one of remoteAccessManifests({ account, linkerd: true, boundTokens, version: '1.0.0' }))
        expect(left(one)).to.deep.equal([]);
    const issuer = { ...object('Secret', 'linkspan-issuer', ofChart, HOME), type: 'kubernetes.io/tls' };
    expect(left(issuer)).to.deep.equal([]);
    expect(left(object('Deployment', 'd', ofChart, 'elsewhere'))).to.deep.equal([]);
  });

  it('is a right in a namespace that left `scope.namespaces`, which nobody would look for', () => {
    const role = object('Role', 'linkspan-controller-scope', ofChart, 'shop');
    expect(left(role)).to.deep.equal(['Role shop/linkspan-controller-scope']);
    expect(left(role, [role])).to.deep.equal([]);
  });
});

import { expect } from 'chai';
import { warningsOf } from '../../../src/kube/client/api-error.ts';
import {
  inOrder,
  isMulticlusterObject,
  parseManifests,
  stubOf,
  titleOf,
} from '../../../src/manifests/manifests.ts';

const object = (kind: string, name: string) => ({ apiVersion: 'v1', kind, metadata: { name } });

describe('manifests', () => {
  it('are read from documents, Lists and JSON; empty documents do not count', () => {
    const list = { apiVersion: 'v1', kind: 'List', items: [object('Secret', 'a'), object('Secret', 'b')] };
    const text = `---\n# only a comment\n---\n${JSON.stringify(list)}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n`;
    expect(parseManifests(text, 'test').map(titleOf)).to.deep.equal(['Secret a', 'Secret b', 'ConfigMap c']);
    expect(parseManifests('', 'test')).to.deep.equal([]);
  });

  it('that are none are named by document', () => {
    const good = 'apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\n';
    expect(() => parseManifests(`${good}a: [`, 'f')).to.throw(/^f: document 2: /);
    expect(() => parseManifests(`${good}just text`, 'f')).to.throw('f: document 2: no apiVersion and kind');
    expect(() => parseManifests(`${good}apiVersion: v1\nkind: Pod`, 'f')).to.throw(
      'the Pod has no metadata.name',
    );
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [object('Secret', 'a'), {}] });
    expect(() => parseManifests(list, 'f')).to.throw('f: document 1, item 2: no apiVersion');
  });

  it('are ordered by what others need first, and keep their order else', () => {
    const kinds = ['Deployment', 'Service', 'Secret', 'RoleBinding', 'Link', 'Role', 'Namespace'];
    expect(inOrder(kinds.map((kind) => object(kind, 'x'))).map(({ kind }) => kind)).to.deep.equal([
      'Namespace',
      'Role',
      'RoleBinding',
      'Secret',
      'Service',
      'Deployment',
      'Link',
    ]);
  });

  it('are reduced to what kubectl needs for deleting', () => {
    const whole = { ...object('Secret', 'a'), data: { k: 'v' } };
    expect(stubOf({ ...whole, metadata: { name: 'a', namespace: 'b', uid: 'c' } })).to.deep.equal({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'a', namespace: 'b' },
    });
  });
});

describe('whose an object is', () => {
  const labelled = (labels: Record<string, string>) => ({
    ...object('Service', 'a'),
    metadata: { name: 'a', labels },
  });

  it("is Linkspan's or Linkerd's by labels, type, group, or by who wrote it", () => {
    const ours = [
      labelled({ 'linkerd.io/extension': 'multicluster' }),
      labelled({ 'app.kubernetes.io/part-of': 'linkspan' }),
      labelled({ 'mirror.linkerd.io/mirrored-service': 'true' }),
      { ...object('Secret', 'a'), type: 'mirror.linkerd.io/remote-kubeconfig' },
      { ...object('Link', 'a'), apiVersion: 'multicluster.linkerd.io/v1alpha3' },
      object('CustomResourceDefinition', 'links.multicluster.linkerd.io'),
      { ...object('Secret', 'a'), metadata: { name: 'a', managedFields: [{ manager: 'linkspan' }] } },
    ];
    expect(ours.map((one) => isMulticlusterObject(one, 'linkspan'))).to.deep.equal(ours.map(() => true));
  });

  it("is a person's, also when it is exported, of another extension, or only looks like ours", () => {
    const others = [
      object('Service', 'linkerd-gateway'),
      labelled({ 'mirror.linkerd.io/exported': 'true' }),
      labelled({ 'linkerd.io/extension': 'viz' }),
      object('CustomResourceDefinition', 'links.multicluster.linkerd.io.example.com'),
      { ...object('Link', 'a'), apiVersion: 'notlinkspan.dev/v1' },
      { ...object('Secret', 'a'), metadata: { name: 'a', managedFields: [{ manager: 'kubectl' }] } },
    ];
    expect(others.map((one) => isMulticlusterObject(one, 'linkspan'))).to.deep.equal(others.map(() => false));
  });
});

describe('warnings of an API server', () => {
  it('are the quoted texts, of one header or of several', () => {
    expect(warningsOf('299 - "a \\"b\\", c" , 299 - "d"')).to.deep.equal(['a "b", c', 'd']);
    expect(warningsOf(['299 - "a"', '299 - "b"'])).to.deep.equal(['a', 'b']);
    expect(warningsOf(undefined)).to.deep.equal([]);
    expect(warningsOf('nonsense')).to.deep.equal([]);
  });
});

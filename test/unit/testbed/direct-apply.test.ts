import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createUpTo, creationPath, withLastApplied } from '../../testbed/direct-apply.ts';
import { clusterPki } from '../../testbed/pki.ts';

const service = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
});

// Tests started kubectl, which takes longer to start than an API server to answer, for every object that they
// lay out.
describe('applying without kubectl', () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  const flags = '?fieldManager=kubectl-client-side-apply&fieldValidation=Strict';
  for (const [object, path] of [
    [service('web'), '/api/v1/namespaces/shop/services'],
    [{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }, '/api/v1/namespaces/default/secrets'],
    [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } }, '/api/v1/namespaces'],
    [
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'a' } },
      '/apis/rbac.authorization.k8s.io/v1/clusterroles',
    ],
  ] as const)
    it(`creates ${object.kind}s at ${path}`, () => expect(creationPath(object)).to.equal(path + flags));

  for (const [what, object] of [
    ['a kind that it does not know', { apiVersion: 'v1', kind: 'Job', metadata: { name: 'a' } }],
    ['another version', { apiVersion: 'v2', kind: 'Service', metadata: { name: 'a' } }],
    ['an object without a name', { apiVersion: 'v1', kind: 'Service', metadata: { generateName: 'a' } }],
    ['a list', { apiVersion: 'v1', kind: 'List', items: [] }],
  ] as readonly [string, object][])
    it(`leaves ${what} to kubectl`, () => expect(creationPath(object)).to.equal(undefined));

  it('keeps the copy of the object that kubectl compares with the next time', () => {
    const { metadata } = withLastApplied({
      ...service('web'),
      metadata: { name: 'web', annotations: { a: 'b' } },
    });
    expect(metadata?.annotations?.['a']).to.equal('b');
    const copy = JSON.parse(
      metadata?.annotations?.['kubectl.kubernetes.io/last-applied-configuration'] ?? '',
    );
    expect(copy).to.deep.equal({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', annotations: { a: 'b' } },
    });
  });

  it('creates in order up to the first object that is refused, and no further', async () => {
    const { ca, server: own, admin } = await clusterPki('test', ['127.0.0.1'], '10.100.0.1');
    const names: string[] = [];
    server = createServer(
      { ...own, ca: ca.cert, requestCert: true, rejectUnauthorized: true },
      (request, response) =>
        void text(request).then((body) => {
          const { metadata } = JSON.parse(body) as ReturnType<typeof service>;
          names.push(metadata.name);
          response.statusCode = metadata.name === 'there' ? 409 : 201;
          response.end('{}');
        }),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const as = {
      server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      ca: ca.cert,
      ...admin,
    };
    expect(await createUpTo(['a', 'b', 'there', 'c'].map(service), as)).to.equal(2);
    expect(names).to.deep.equal(['a', 'b', 'there']);
    expect(await createUpTo([service('a'), service('b')], as)).to.equal(2);
    // Half of the lists that tests apply begin with a namespace that is there.
    const there = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'there' } };
    expect(await createUpTo([there, service('a')], as)).to.equal(2);
    const labels = { a: 'b' };
    const labelled = { ...there, metadata: { ...there.metadata, labels } };
    expect(await createUpTo([labelled, service('a')], as)).to.equal(0);
  });

  it('leaves everything to kubectl when nobody answers', async () => {
    const { ca, admin } = await clusterPki('test', ['127.0.0.1'], '10.100.0.1');
    expect(
      await createUpTo([service('a')], { server: 'https://127.0.0.1:1', ca: ca.cert, ...admin }),
    ).to.equal(0);
  });
});

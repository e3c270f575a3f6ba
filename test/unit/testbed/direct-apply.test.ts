import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { applyPatch, applyUpTo, collectionPath, withLastApplied } from '../../testbed/direct-apply.ts';
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

  for (const [object, path] of [
    [service('web'), '/api/v1/namespaces/shop/services'],
    [{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }, '/api/v1/namespaces/default/secrets'],
    [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a' } }, '/api/v1/namespaces'],
    [
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'a' } },
      '/apis/rbac.authorization.k8s.io/v1/clusterroles',
    ],
  ] as const)
    it(`puts ${object.kind}s under ${path}`, () => expect(collectionPath(object)).to.equal(path));

  for (const [what, object] of [
    ['a kind that it does not know', { apiVersion: 'v1', kind: 'Job', metadata: { name: 'a' } }],
    ['another version', { apiVersion: 'v2', kind: 'Service', metadata: { name: 'a' } }],
    ['an object without a name', { apiVersion: 'v1', kind: 'Service', metadata: { generateName: 'a' } }],
    ['a list', { apiVersion: 'v1', kind: 'List', items: [] }],
  ] as readonly [string, object][])
    it(`leaves ${what} to kubectl`, () => expect(collectionPath(object)).to.equal(undefined));

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

  for (const [what, before, wanted, live, patch] of [
    ['nothing where all is as wanted', {}, { a: 1 }, { a: 1, b: 2 }, {}],
    ['what is new or other', {}, { a: 1, c: [3] }, { a: 2, b: 2 }, { a: 1, c: [3] }],
    ['away what was wanted before', { a: 1, b: 2 }, { a: 1 }, { a: 1, b: 2 }, { b: null }],
    ['nothing away that is gone', { b: 2 }, {}, {}, {}],
    [
      "inner fields, and leaves others'",
      { m: { x: 1 } },
      { m: { y: 1 } },
      { m: { x: 1, z: 1 } },
      { m: { x: null, y: 1 } },
    ],
    ['lists as a whole', {}, { l: [{ a: 1 }] }, { l: [{ a: 1, b: 2 }] }, { l: [{ a: 1 }] }],
  ] as readonly (readonly [string, object, object, object, object])[])
    it(`patches ${what}`, () => {
      const fields = [before, wanted, live] as Record<string, unknown>[];
      expect(applyPatch(fields[0] ?? {}, fields[1] ?? {}, fields[2] ?? {})).to.deep.equal(patch);
    });

  it('applies in order up to the first object that is refused, and no further', async () => {
    const { ca, server: own, admin } = await clusterPki('test', ['127.0.0.1'], '10.100.0.1');
    const seen: string[] = [];
    const live = withLastApplied({
      ...service('there'),
      metadata: { name: 'there', annotations: { a: 'b' } },
    });
    server = createServer(
      { ...own, ca: ca.cert, requestCert: true, rejectUnauthorized: true },
      (request, response) =>
        void text(request).then((body) => {
          const { metadata } = (body === '' ? live : JSON.parse(body)) as ReturnType<typeof service>;
          seen.push(`${request.method} ${new URL(request.url ?? '', 'http://x').pathname.split('/').pop()}`);
          const status = { there: 409, bad: 422 }[metadata.name];
          response.statusCode = request.method === 'POST' ? (status ?? 201) : 200;
          if (request.method === 'PATCH')
            seen.push(
              JSON.stringify(
                Object.keys((metadata as NonNullable<(typeof live)['metadata']>).annotations ?? {}),
              ),
            );
          response.end(JSON.stringify(live));
        }),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const as = {
      server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      ca: ca.cert,
      ...admin,
    };
    expect(await applyUpTo(['a', 'bad', 'c'].map(service), as)).to.equal(1);
    expect(seen.splice(0)).to.deep.equal(['POST services', 'POST services']);
    expect(await applyUpTo(['there', 'c'].map(service), as)).to.equal(2);
    expect(seen.filter((line) => !line.startsWith('['))).to.deep.equal([
      'POST services',
      'GET there',
      'PATCH there',
      'POST services',
    ]);
    // What was applied before goes, and the copy is of what was applied now.
    expect(JSON.parse(seen.find((line) => line.startsWith('[')) ?? '[]')).to.have.members([
      'a',
      'kubectl.kubernetes.io/last-applied-configuration',
    ]);
  });

  // Kinds that were applied onto ones that were going went with them, and were never served.
  it('waits until one of the same name that is being deleted is gone', async () => {
    const { ca, server: own, admin } = await clusterPki('test', ['127.0.0.1'], '10.100.0.1');
    const seen: string[] = [];
    const going = { ...service('web'), metadata: { name: 'web', deletionTimestamp: '2026-01-01T00:00:00Z' } };
    server = createServer(
      { ...own, ca: ca.cert, requestCert: true, rejectUnauthorized: true },
      (request, response) => {
        seen.push(request.method ?? '');
        const posts = seen.filter((method) => method === 'POST').length;
        // It goes between the second refusal and the look after it.
        if (request.method === 'POST') response.statusCode = posts === 3 ? 201 : 409;
        else if (posts === 2) response.statusCode = 404;
        response.end(JSON.stringify(going));
      },
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const as = {
      server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      ca: ca.cert,
      ...admin,
    };
    expect(await applyUpTo([service('web')], as)).to.equal(1);
    expect(seen).to.deep.equal(['POST', 'GET', 'POST', 'GET', 'POST']);
  });

  it('leaves everything to kubectl when nobody answers', async () => {
    const { ca, admin } = await clusterPki('test', ['127.0.0.1'], '10.100.0.1');
    expect(
      await applyUpTo([service('a')], { server: 'https://127.0.0.1:1', ca: ca.cert, ...admin }),
    ).to.equal(0);
  });
});

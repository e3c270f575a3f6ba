import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { systemClock } from '../../../../src/base/clock.ts';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { loadAccess } from '../../../../src/kube/client/access.ts';
import { isConflict, isGone, isNotFound, KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { Reflector } from '../../../../src/kube/informer/reflector.ts';
import { services } from '../../../../src/api/kubernetes/resource.ts';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { eventually } from '../../../support/eventually.ts';
import { answer, scriptedServer, stream, type Script } from '../../../support/scripted-server.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const service = (name: string, resourceVersion: string) => ({
  metadata: { name, namespace: 'demo', uid: name, resourceVersion },
});
const listOf = (resourceVersion: string, ...items: object[]) =>
  answer(200, { metadata: { resourceVersion }, items });
const event = (type: string, object: object) => `${JSON.stringify({ type, object })}\n`;
const gone = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
const hang: Script = () => undefined;

/**
 * What an API server, or whatever stands in front of it, does on a bad day: nothing of it may lose, invent or
 * resurrect an object.
 */
describe('an API server that misbehaves', () => {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  async function start(...scripts: Script[]) {
    const server = await scriptedServer(...scripts);
    const access = loadAccess({
      text: `{clusters: [{name: c, cluster: {server: "${server.url}"}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`,
      source: 'test',
    });
    const client = new KubeClient(access, { clock: systemClock, random: () => 0, timeoutMs: 300 });
    closing.push(
      () => server.close(),
      () => client.close(),
    );
    return { server, client };
  }

  async function reflect(...scripts: Script[]) {
    const { server, client } = await start(...scripts);
    const store = new IndexedStore<V1Service>();
    const changes: string[] = [];
    store.subscribe('test', ({ type, key }) => changes.push(`${type} ${key}`));
    const reflector = new Reflector({
      client,
      resource: services,
      store,
      clock: systemClock,
      random: () => 0,
      log,
    });
    closing.push(() => reflector.stop());
    reflector.start();
    return { server, store, reflector, changes };
  }

  it('answers a watch with half an event and closes: what came whole is kept, the rest is asked for again', async () => {
    const { store, server } = await reflect(
      listOf('1', service('a', '1')),
      stream([event('ADDED', service('b', '2')), '{"type":"ADDED","obj'], 'cut'),
      listOf('2'),
      stream([event('ADDED', service('c', '3'))], 'open'),
    );
    await eventually('c is there', () => store.get('demo/c'));
    expect(store.keys()).to.deep.equal(['demo/a', 'demo/b', 'demo/c']);
    expect(server.heads[3]).to.contain('resourceVersion=2');
  });

  it('splits events anywhere, also inside a character', async () => {
    const text = event('ADDED', { ...service('a', '2'), spec: { externalName: 'grüße' } });
    const { store } = await reflect(
      listOf('1'),
      stream([text.slice(0, 30), text.slice(30, 31), text.slice(31)], 'open'),
    );
    await eventually('a is there', () => store.get('demo/a')?.spec?.externalName === 'grüße');
  });

  it('says 410 in the stream: lists again and tells only what differs', async () => {
    const { store, changes } = await reflect(
      listOf('1', service('a', '1'), service('b', '1')),
      stream([event('ERROR', gone)], 'end'),
      listOf('9', service('a', '1'), service('c', '8')),
      stream([], 'open'),
    );
    await eventually('c is there', () => store.get('demo/c'));
    expect(changes).to.deep.equal(['added demo/a', 'added demo/b', 'deleted demo/b', 'added demo/c']);
  });

  it('fails in the middle of a paged list: nothing of it becomes visible', async () => {
    const firstPage = answer(200, {
      metadata: { resourceVersion: '1', continue: 'next' },
      items: [service('a', '1')],
    });
    const { store, reflector, changes } = await reflect(
      firstPage,
      answer(410, gone),
      listOf('5', service('b', '5')),
      stream([], 'open'),
    );
    await reflector.whenSynced();
    expect(store.keys()).to.deep.equal(['demo/b']);
    expect(changes).to.deep.equal(['added demo/b']);
  });

  it('answers 500 and garbage for a while: the store stays as it is and the error is shown, then cleared', async () => {
    const { store, reflector } = await reflect(
      listOf('1', service('a', '1')),
      stream(['this is not JSON\n'], 'open'),
      listOf('1'),
      stream([event('ADDED', service('b', '2'))], 'open'),
    );
    await eventually('the error is shown', () => codeOf(reflector.error) === 'KUBE_WATCH_BROKEN');
    expect(store.keys()).to.deep.equal(['demo/a']);
    await eventually('it went on', () => store.get('demo/b'));
    expect(reflector.error).to.equal(undefined);
  });

  it('refuses the first list: not synced, nothing known, and no event', async () => {
    const { reflector, store } = await reflect(
      answer(403, { kind: 'Status', code: 403, reason: 'Forbidden', message: 'no' }),
    );
    await eventually('the error is shown', () => codeOf(reflector.error) === 'KUBE_FORBIDDEN');
    expect(reflector.synced).to.equal(false);
    expect(store.size).to.equal(0);
  });

  it('accepts and never answers: a time-out with a code, in bounded time', async () => {
    const { client } = await start(hang);
    const error = await failure(client.create(services, { metadata: { name: 'a', namespace: 'demo' } }));
    expect(codeOf(error)).to.equal('KUBE_TIMEOUT');
  });

  it('answers 500 and then 200: a GET is repeated', async () => {
    const { client, server } = await start(answer(500, 'oops'), answer(200, service('a', '1')));
    expect((await client.get(services, { namespace: 'demo', name: 'a' })).metadata?.name).to.equal('a');
    expect(server.heads).to.have.length(2);
  });

  it('breaks the connection after a POST: it may have been carried out, so it is not repeated', async () => {
    const { client, server } = await start((_, socket) => socket.destroy());
    await failure(client.create(services, { metadata: { name: 'a', namespace: 'demo' } }));
    expect(server.heads).to.have.length(1);
  });

  it('asks for patience with 429 and Retry-After: even a POST is sent again', async () => {
    const { client, server } = await start(
      answer(429, 'slow down', { 'retry-after': '0' }),
      answer(201, service('a', '1')),
    );
    await client.create(services, { metadata: { name: 'a', namespace: 'demo' } });
    expect(server.heads).to.have.length(2);
  });

  it('says why in a Status: the reason decides what an error is', async () => {
    const status = (code: number, reason: string) =>
      answer(code, { kind: 'Status', code, reason, message: reason });
    const { client } = await start(status(404, 'NotFound'), status(409, 'Conflict'), status(410, 'Expired'));
    const ref = { namespace: 'demo', name: 'a' };
    expect(isNotFound(await failure(client.get(services, ref)))).to.equal(true);
    expect(isConflict(await failure(client.patch(services, ref, {}, { type: 'merge' })))).to.equal(true);
    expect(isGone(await failure(client.get(services, ref)))).to.equal(true);
  });
});

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it should have failed');
}

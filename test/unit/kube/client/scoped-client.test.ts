import { expect } from 'chai';
import { systemClock } from '../../../../src/base/clock.ts';
import { anonymousAccess } from '../../../../src/kube/client/access.ts';
import { isForbidden, isGone } from '../../../../src/kube/client/kube-client.ts';
import { namespaces, services } from '../../../../src/api/kubernetes/resource.ts';
import { listPages } from '../../../../src/kube/client/list-pages.ts';
import { ScopedKubeClient } from '../../../../src/kube/client/scoped-client.ts';
import { closedIn } from '../../../support/closed-in.ts';
import { answer, type Script, scriptedServer, stream } from '../../../support/scripted-server.ts';

const service = (namespace: string, name: string, resourceVersion: string) => ({
  metadata: { namespace, name, resourceVersion },
});
const event = (namespace: string, name: string, version: string) =>
  `${JSON.stringify({ type: 'ADDED', object: service(namespace, name, version) })}\n`;

/**
 * What an account with rights in some namespaces sees must be all of them, in an order that loses nothing.
 */
describe('ScopedKubeClient', () => {
  const opened = closedIn(afterEach);

  /** @param scripts by verb and namespace */
  async function client(scripts: Readonly<Record<string, Script>>): Promise<ScopedKubeClient> {
    const byPath: Script = (head, socket) => {
      const path = head.split(' ')[1] ?? '';
      const namespace = path.split('/')[4] ?? '';
      const script = scripts[`${path.includes('watch=true') ? 'watch' : 'list'} ${namespace}`];
      (script ?? answer(403, { kind: 'Status', code: 403, reason: 'Forbidden' }))(head, socket);
    };
    const server = opened(await scriptedServer(byPath), (one) => one.close());
    const options = { clock: systemClock, random: Math.random, maxTries: 1 };
    const made = new ScopedKubeClient(anonymousAccess(server.url), options, ['shop', 'pay', 'shop']);
    return opened(made, (one) => one.close());
  }
  const lists = {
    'watch shop': stream([event('shop', 'a', '8')], 'open'),
    'watch pay': stream([event('pay', 'b', '9')], 'open'),
    'list shop': answer(200, {
      items: [service('shop', 'a', '3')],
      metadata: { resourceVersion: '5' },
    }),
    'list pay': answer(200, {
      items: [service('pay', 'b', '6')],
      metadata: { resourceVersion: '7' },
    }),
  };
  const watchFrom = (one: ScopedKubeClient, resourceVersion: string) =>
    one.watch(services, { resourceVersion, timeoutSeconds: 60 });
  const failure = async (what: Promise<unknown>) =>
    what.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('lists each of them, as of the oldest', async () => {
    const { items, resourceVersion } = await (await client(lists)).list(services);
    expect(items.map(({ metadata }) => `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`)).to.deep.equal(
      ['shop/a', 'pay/b'],
    );
    expect(resourceVersion).to.equal('5');
  });

  // The list of a hostile API server was gathered whole, pages without end, before anybody counted it.
  it('lists page by page, for whoever counts them', async () => {
    const one = await client({
      ...lists,
      'list shop': (head, socket) =>
        answer(200, {
          items: [service('shop', 'a', '3')],
          metadata: { resourceVersion: '5', continue: 'more' },
        })(head, socket),
    });
    const pages = listPages(one, services, { pageSize: 1, maxPages: 5 });
    let seen = 0;
    const all = async () => {
      for await (const { items } of pages) seen += items.length;
    };
    expect(String(await failure(all()))).to.contain('no end after 5 pages');
    expect(seen).to.equal(5);
  });

  // Events of a namespace that floods were kept without bound while whoever took them was slow.
  it('takes no more events than are asked for, but for a few', async () => {
    const many = Array.from({ length: 5000 }, (_, i) => event('shop', `a${i}`, String(100 + i)));
    const one = await client({ ...lists, 'watch shop': stream(many, 'open') });
    const taken = watchFrom(one, (await one.list(services)).resourceVersion);
    const names = new Set<string>();
    for await (const { object } of taken) {
      names.add(object.metadata?.name ?? '');
      if (names.size === 5001) break;
    }
    expect(names.size).to.equal(5001);
  });

  it('tells the events of all of them', async () => {
    const one = await client(lists);
    const seen: string[] = [];
    for await (const { object } of watchFrom(one, (await one.list(services)).resourceVersion)) {
      seen.push(object.metadata?.name ?? '');
      if (seen.length === 2) break;
    }
    expect(seen.toSorted()).to.deep.equal(['a', 'b']);
  });

  it('goes on from a list only: an event of one namespace says nothing of the others', async () => {
    const one = await client(lists);
    await one.list(services);
    expect(isGone(await failure(watchFrom(one, '9').next()))).to.equal(true);
    // What a Reflector asks before it resumes.
    expect(isGone(await failure(one.list(services, { namespace: 'default' })))).to.equal(true);
  });

  it('ends, with its error, when one of the watches does', async () => {
    const one = await client({
      ...lists,
      'watch pay': answer(403, { kind: 'Status' }),
    });
    const { resourceVersion } = await one.list(services);
    const all = async () => {
      for await (const _ of watchFrom(one, resourceVersion)) continue;
    };
    expect(isForbidden(await failure(all()))).to.equal(true);
  });

  it('knows the namespaces without asking', async () => {
    const { items } = await (await client({})).list(namespaces);
    expect(items.map(({ metadata }) => metadata?.name)).to.deep.equal(['shop', 'pay']);
  });
});

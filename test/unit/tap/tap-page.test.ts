import { expect } from 'chai';
import { readTapEvent, TAP_TOKEN_HEADER, type TapFilter } from '../../../src/api/answers/tap-events.ts';
import type { KubeObject, Resource } from '../../../src/api/kubernetes/resource.ts';
import { KubeApiError } from '../../../src/kube/client/kube-client.ts';
import { type OpenFlow, recordAccess } from '../../../src/proxy/downstream/access-log.ts';
import { Observers } from '../../../src/proxy/downstream/observers.ts';
import { NO_BOUNDARY } from '../../../src/proxy/http/failure-boundary.ts';
import { openTap, type TapSource } from '../../../src/tap/tap.ts';
import { TapAccess } from '../../../src/tap/tap-access.ts';
import { TapPage } from '../../../src/tap/tap-page.ts';
import { TapRules } from '../../../src/tap/tap-rules.ts';
import { type AdminAnswer, AdminPages } from '../../../src/telemetry/admin-pages.ts';
import { adminRequest } from '../../support/admin-request.ts';
import { captureLog } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { loggedFlow, loggedSession } from '../../support/logged-flow.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const ACCOUNT = 'system:serviceaccount:team:watcher';

/** A token of an account; nobody verifies it but the API server, which these tests play. */
function tokenFor(audience: string | undefined, exp: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return [part({ alg: 'none' }), part({ sub: ACCOUNT, aud: [audience], exp }), 'signature'].join('.');
}

/** An API server, as far as it is asked. */
class Asked {
  /** Namespaces that the account may look into; undefined: all. */
  allowed: readonly (string | undefined)[] = ['demo'];
  valid = true;
  broken = false;
  annotations: Record<string, Record<string, string>> = {};
  reviews = 0;

  create<T extends KubeObject>({ kind }: Resource<T>, object: T): Promise<T> {
    if (this.broken) return Promise.reject(new Error('no connection'));
    this.reviews++;
    if (kind === 'TokenReview') {
      const audiences = ['tap.linkspan.dev'];
      const user = { username: ACCOUNT, groups: ['system:serviceaccounts'] };
      const status = this.valid ? { authenticated: true, audiences, user } : { authenticated: false };
      return Promise.resolve({ ...object, status });
    }
    const { spec } = object as { spec?: { resourceAttributes?: { namespace?: string } } };
    const allowed = this.allowed.includes(spec?.resourceAttributes?.namespace);
    return Promise.resolve({ ...object, status: { allowed } });
  }

  get<T extends KubeObject>({ plural }: Resource<T>, ref: { name: string }): Promise<T> {
    if (this.broken) return Promise.reject(new Error('no connection'));
    const annotations = this.annotations[`${plural} ${ref.name}`];
    if (annotations !== undefined) return Promise.resolve({ metadata: { annotations } } as T);
    return Promise.reject(new KubeApiError({ status: 404, reason: 'NotFound', message: '' }, 'GET'));
  }
}

/** What one who looks has got. */
class Reader {
  readonly #texts: string[] = [];
  ended = false;
  readonly done: Promise<void>;

  constructor({ body }: AdminAnswer) {
    this.done = this.#read(body as AsyncIterable<Buffer>);
  }

  get events() {
    return this.#texts.flatMap((text) => text.trimEnd().split('\n')).map(readTapEvent);
  }

  get paths() {
    return this.events.flatMap((event) => (event.type === 'flow' ? [event.path] : []));
  }

  async #read(body: AsyncIterable<Buffer>): Promise<void> {
    for await (const piece of body) this.#texts.push(piece.toString());
    this.ended = true;
  }
}

describe('The page of taps', () => {
  let clock: VirtualClock;
  let api: Asked;
  let observers: Observers;
  let page: TapPage;
  let log: ReturnType<typeof captureLog>;
  let open: Iterable<OpenFlow>;
  let token: string;
  let leave: () => void;

  const begin = (paths = true) => {
    const client = api as unknown as ConstructorParameters<typeof TapRules>[0]['client'] &
      ConstructorParameters<typeof TapAccess>[0]['client'];
    const source: TapSource = {
      process: 'gateway',
      clusterOf: () => undefined,
      clusterAt: () => undefined,
      observers,
      clock,
      openFlows: () => open,
    };
    page = new TapPage({
      process: { tap: (filter: TapFilter, sink) => openTap(source, filter, sink) },
      access: new TapAccess({ client, clock }),
      rules: new TapRules({ client, clock }),
      paths,
      clock,
      log: log.log,
    });
  };

  beforeEach(() => {
    clock = new VirtualClock();
    api = new Asked();
    observers = new Observers(NO_BOUNDARY);
    log = captureLog();
    open = [];
    token = tokenFor('tap.linkspan.dev', clock.now() / 1000 + 600);
    begin();
  });

  const ask = (query = 'namespace=demo', shown: string | undefined = token) =>
    page.answer(
      adminRequest({
        header: (name) => (name === TAP_TOKEN_HEADER ? shown : undefined),
        onClose: (listener) => void (leave = listener),
      }),
      new URLSearchParams(query),
    );
  const text = async (answer: Promise<AdminAnswer>) => {
    const { status, body } = await answer;
    return [status, (body as Buffer).toString()] as const;
  };
  const look = async (query?: string) => {
    const answer = await ask(query);
    expect(answer.status).to.equal(200);
    const reader = new Reader(answer);
    await clock.advance(0);
    return reader;
  };
  const pass = async (path: string, target?: string) => {
    recordAccess(loggedSession({ accessLog: observers, clock, target }), loggedFlow({ path }), undefined);
    await clock.advance(0);
  };

  it('shows what passes, and tells its log who looks, for what, and how it ended', async () => {
    const reader = await look('namespace=demo&path=/c');
    await pass('/cart');
    await pass('/other');
    await pass('/cart', 'web.shop.svc.cluster.local:80');
    expect(reader.events.map(({ type }) => type)).to.deep.equal(['alive', 'flow']);
    expect(page.sessions).to.equal(1);
    leave();
    await reader.done;
    expect(page.sessions).to.equal(0);
    const [first, last] = log.lines;
    expect(first).to.deep.include({ account: ACCOUNT, msg: 'somebody looks at requests' });
    expect(first?.['filter']).to.include({ namespace: 'demo', path: '/c' });
    expect(last).to.deep.include({ why: 'reader gone', sent: 1, msg: 'nobody looks any more' });
  });

  it('lets in nobody without a token for it that the API server knows', async () => {
    for (const wrong of [undefined, '', 'x', tokenFor('https://kubernetes.default.svc', 2e9)])
      expect((await text(ask('namespace=demo', wrong ?? '')))[0], wrong).to.equal(401);
    expect(api.reviews, 'what is no such token costs the API server nothing').to.equal(0);
    api.valid = false;
    expect((await text(ask()))[1]).to.match(/not valid, or not for the audience tap\.linkspan\.dev/);
  });

  it('names the binding that is missing', async () => {
    expect(await text(ask('namespace=shop'))).to.deep.equal([
      403,
      `${ACCOUNT} may not get taps.linkspan.dev in namespace shop; there has to be a binding: kubectl create -n shop rolebinding linkspan-tap --clusterrole=linkspan-tap --serviceaccount=team:watcher\n`,
    ]);
    expect((await text(ask('')))[1]).to.match(/in all namespaces; .* clusterrolebinding/);
  });

  it('says what it does not know, and asks again at once', async () => {
    api.broken = true;
    expect((await text(ask()))[0]).to.equal(503);
    api.broken = false;
    expect((await ask()).status).to.equal(200);
  });

  it('has the API server asked once for many, and not by strangers without end', async () => {
    await Promise.all([ask(), ask(), ask()]);
    expect(api.reviews).to.equal(2);
    const statuses = [];
    for (let at = 0; at < 40; at++)
      statuses.push((await ask('namespace=demo', tokenFor('tap.linkspan.dev', at))).status);
    expect(statuses.filter((status) => status === 429)).to.have.length.greaterThan(15);
  });

  it('has eight who look, and no more', async () => {
    const readers: Reader[] = [];
    while (readers.length < 8) readers.push(await look());
    expect(await text(ask())).to.deep.equal([429, '8 look at this pod already\n']);
    leave();
    await readers[7]?.done;
    expect((await ask()).status).to.equal(200);
  });

  it('ends within thirty seconds of the end of a right, and of a token', async () => {
    for (const [end, why] of [
      [() => (api.allowed = []), 'right withdrawn'],
      [() => (api.valid = false), 'token expired'],
      [() => (api.broken = true), 'right not known'],
    ] as const) {
      api = new Asked();
      begin();
      const reader = await look();
      await clock.advance(45_000);
      expect(reader.ended, 'it goes on as long as it may').to.equal(false);
      end();
      await clock.advance(30_000);
      expect(reader.events.at(-1)).to.include({ type: 'end', why });
      expect(reader.ended).to.equal(true);
      expect(observers.wants(loggedSession(), loggedFlow())).to.equal(false);
    }
  });

  it('ends so soon also where the answer was known when it began', async () => {
    const first = await look();
    await clock.advance(19_000);
    // From the answer that the first has got.
    const second = await look();
    await clock.advance(2000);
    api.allowed = [];
    await clock.advance(20_000);
    for (const { events } of [first, second])
      expect(events.at(-1)).to.include({ type: 'end', why: 'right withdrawn' });
    expect((await ask()).status).to.equal(403);
  });

  it('asks about a token when it says that it ends, not only when an answer is old', async () => {
    token = tokenFor('tap.linkspan.dev', clock.now() / 1000 + 25);
    const reader = await look();
    await clock.advance(24_000);
    api.valid = false;
    expect(reader.ended).to.equal(false);
    await clock.advance(21_000);
    expect(reader.events.at(-1)).to.include({ why: 'token expired' });
  });

  it('ends when its time is over, and when the process ends', async () => {
    const [first, second] = [await look('namespace=demo&forMs=5000'), await look()];
    await clock.advance(5000);
    expect(first.events.at(-1)).to.include({ why: 'time is over' });
    page.close();
    await second.done;
    expect(second.events.at(-1)).to.include({ why: 'shutting down' });
  });

  it('says every 15 s that it is alive, and what is missing', async () => {
    const reader = await look('namespace=demo&maxRps=2');
    for (let at = 0; at < 5; at++) await pass('/a');
    await clock.advance(15_000);
    expect(reader.paths).to.have.length(2);
    const lost = reader.events.flatMap((event) => (event.type === 'lost' ? [event.count] : []));
    expect(lost).to.deep.equal([3]);
    await clock.advance(15_000);
    expect(reader.events.at(-1)).to.deep.equal({ v: 1, type: 'alive' });
    expect(page.counts).to.include({ sent: 2, limited: 3 });
  });

  it('drops what a slow reader does not take, and never waits for it', async () => {
    const answer = await ask('namespace=demo&maxRps=1000');
    for (let second = 0; second < 3; second++) {
      for (let at = 0; at < 1000; at++)
        recordAccess(loggedSession({ accessLog: observers, clock }), loggedFlow(), undefined);
      await clock.advance(1000);
    }
    expect(page.counts.dropped).to.equal(2000);
    const reader = new Reader(answer);
    await clock.advance(1000);
    expect(reader.events.find(({ type }) => type === 'lost')).to.deep.include({ count: 2000 });
    expect(reader.paths).to.have.length(1000);
  });

  for (const [object, annotations, rule] of [
    ['services web', { 'linkspan.dev/tap': 'off' }, 'off'],
    ['namespaces demo', { 'linkspan.dev/tap': 'off' }, 'off'],
    ['services web', { 'linkspan.dev/tap': 'nonsense' }, 'off'],
    ['namespaces demo', { 'viz.linkerd.io/disable-tap': 'true' }, 'off'],
    ['services web', { 'viz.linkerd.io/disable-tap': 'T', 'linkspan.dev/tap': 'on' }, 'off'],
    ['services web', { 'linkspan.dev/tap': 'no-paths' }, 'no-paths'],
    ['namespaces demo', { 'linkspan.dev/tap': 'no-paths' }, 'no-paths'],
    ['namespaces demo', { 'viz.linkerd.io/disable-tap': 'false' }, 'all'],
  ] as const)
    it(`heeds ${JSON.stringify(annotations)} on ${object}`, async () => {
      api.annotations[object] = annotations;
      const [reader, prober] = [await look(), await look('namespace=demo&path=/c')];
      await pass('/cart');
      expect(reader.paths).to.deep.equal({ all: ['/cart'], 'no-paths': [undefined], off: [] }[rule]);
      // Whoever asks by paths must not find them out by it.
      expect(prober.paths).to.deep.equal(rule === 'all' ? ['/cart'] : []);
    });

  // A rate of next to nothing makes nearly everything a loss: told to whoever asks by method, status or path,
  // losses would say of a Service that says no what its requests are.
  for (const [annotation, query, told] of [
    ['off', 'namespace=demo', false],
    ['no-paths', 'namespace=demo&path=/cart', false],
    ['no-paths', 'namespace=demo', true],
    ['on', 'namespace=demo&path=/cart', true],
  ] as const)
    it(`tells of ${told ? 'losses' : 'no loss'} by ${query} where the Service says ${annotation}`, async () => {
      api.annotations['services web'] = { 'linkspan.dev/tap': annotation };
      const [limited, full] = [await look(`${query}&maxRps=0.001`), await ask(`${query}&maxRps=1000`)];
      for (let second = 0; second < 3; second++) {
        for (let at = 0; at < 1000; at++) await pass('/cart');
        await clock.advance(1000);
      }
      const slow = new Reader(full);
      await clock.advance(15_000);
      for (const { events } of [limited, slow])
        expect(events.some(({ type }) => type === 'lost')).to.equal(told);
    });

  it('shows nothing of what it could not find out about', async () => {
    const reader = await look();
    api.broken = true;
    await pass('/cart');
    expect([reader.paths, page.counts.hidden]).to.deep.equal([[], 1]);
  });

  // Whoever looks takes a pod that is silent for 40 s for one that is gone.
  it('is not held up by an API server that says nothing of any target', async () => {
    const asked: string[] = [];
    const client = api as unknown as { get: unknown };
    client.get = (_: unknown, { name }: { name: string }) => {
      asked.push(name);
      return new Promise(() => undefined);
    };
    await look();
    for (let at = 0; at < 10; at++) {
      const session = loggedSession({
        accessLog: observers,
        clock,
        target: `web-${at}.demo.svc.cluster.local:80`,
      });
      recordAccess(session, loggedFlow(), undefined);
    }
    await eventually('those of all targets are asked for at once', () => asked.length > 10);
  });

  it('shows no paths, and takes none, where the installation says so', async () => {
    begin(false);
    const reader = await look();
    await pass('/cart');
    expect(reader.paths).to.deep.equal([undefined]);
    expect((await text(ask('namespace=demo&path=/c')))[0]).to.equal(400);
  });

  it('shows what is under way for longer than a second, once, and its end with the same id', async () => {
    const session = loggedSession({ accessLog: observers, clock });
    const flow = loggedFlow({ startedAt: clock.monotonic(), path: '/stream', status: undefined });
    const reader = await look();
    open = [[session, flow, { endpoint: '10.0.0.1:80' }]];
    await clock.advance(3000);
    open = [];
    recordAccess(session, flow, undefined);
    await clock.advance(0);
    const flows = reader.events.filter((event) => event.type === 'open' || event.type === 'flow');
    expect(flows.map(({ type }) => type)).to.deep.equal(['open', 'flow']);
    expect(new Set(flows.map((event) => ('id' in event ? event.id : '')))).to.have.property('size', 1);
  });

  it('is a page for GET alone, which other pages know nothing of', async () => {
    const pages = new AdminPages({
      ready: () => ({ ok: true, reason: '' }),
      streams: new Map([['/tap', (request, query) => page.answer(request, query)]]),
    });
    expect((await pages.answer(adminRequest({ path: '/tap', method: 'PUT' }))).status).to.equal(405);
    expect((await pages.answer(adminRequest({ path: '/tap?namespace=demo' }))).status).to.equal(401);
  });
});

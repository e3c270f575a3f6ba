import { expect } from 'chai';
import type tls from 'node:tls';
import { type Authority, createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { eventually } from '../support/eventually.ts';
import { http1Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { type ClientSettings, service, WireGateway } from '../support/wire-gateway.ts';

const WEB = 'web.demo.svc.cluster.local';
const ECHO = 'echo.demo.svc.cluster.local';
const WORKERS = 4;

/**
 * Pods come and go and certificates are renewed all day. What is not in flight on something that dies must
 * not notice: a gateway that drops a request at each rollout is one that nobody can roll anything out behind.
 */
describe('changes under load', () => {
  let gateway: WireGateway;
  let web: Origin[];
  let echo: Origin[];
  let load: Load;
  let settings: ClientSettings;

  const serveAll = () =>
    gateway.serve([
      service(
        WEB,
        web.map(({ port }) => port),
      ),
      service(
        ECHO,
        echo.map(({ port }) => port),
      ),
    ]);

  /** Requests and raw connections, all the time; every failure is kept. */
  class Load {
    requests = 0;
    flows = 0;
    readonly failures: string[] = [];
    #over = false;
    readonly #workers: Promise<void>[] = [];

    constructor() {
      for (let n = 0; n < WORKERS; n++) {
        this.#workers.push(this.#loop(() => this.#kept()));
        this.#workers.push(this.#loop(() => this.#flow()));
      }
    }

    async #loop(once: () => Promise<void>): Promise<void> {
      while (!this.#over) {
        try {
          await once();
        } catch (error) {
          this.failures.push(String(error).slice(0, 300));
        }
      }
    }

    /** Some requests over one connection. */
    async #kept(): Promise<void> {
      const client = await gateway.open(WEB, 'http1', settings);
      for (let n = 1; n <= 20 && !this.#over; n++) {
        client.send('GET /hello HTTP/1.1\r\nhost: x\r\n\r\n');
        await client.hearsTimes('hello', n);
        const answers = client.text.match(/^HTTP\/1\.1 .*$/gm) ?? [];
        if (answers.at(-1)?.startsWith('HTTP/1.1 200') !== true) throw new Error(client.text.slice(-300));
        this.requests++;
      }
      client.socket.destroy();
    }

    async #flow(): Promise<void> {
      const client = await gateway.open(ECHO, 'opaque', settings);
      client.send('ping');
      await client.hears(/^ping$/);
      client.send('pong').end();
      expect(await client.whole()).to.equal('pingpong');
      this.flows++;
    }

    /** Waits until so many more have gone well. */
    async goesOn(count = 60): Promise<void> {
      const [requests, flows] = [this.requests + count, this.flows + count / 4];
      await eventually('the load goes on', () => this.requests >= requests && this.flows >= flows);
    }

    async stop(): Promise<void> {
      this.#over = true;
      await Promise.all(this.#workers);
    }
  }

  beforeEach(async () => {
    web = await Promise.all([http1Origin('a'), http1Origin('b'), http1Origin('c')]);
    echo = await Promise.all([rawOrigin(), rawOrigin(), rawOrigin()]);
    gateway = await WireGateway.start([]);
    serveAll();
    settings = {};
    load = new Load();
    await load.goesOn();
  });

  afterEach(async () => {
    await load.stop();
    await gateway.close();
    for (const origin of [...web, ...echo]) origin.close();
  });

  it('endpoints are added: they get requests, and none fails', async () => {
    const added = await http1Origin('d');
    web.push(added);
    echo.push(await rawOrigin());
    serveAll();
    await eventually('the new one is used', () => added.count() > 10);
    await load.goesOn();
    expect(load.failures).to.deep.equal([]);
  });

  it('endpoints are removed and then end, as in a rollout: no request fails', async () => {
    for (let round = 0; round < 5; round++) {
      const [oldWeb, oldEcho] = [web.shift(), echo.shift()];
      web.push(await http1Origin(`new ${round}`));
      echo.push(await rawOrigin());
      serveAll();
      // What was under way on it goes to its end; new ones go elsewhere.
      await load.goesOn();
      const [requests, flows] = [oldWeb?.count(), oldEcho?.count()];
      await load.goesOn();
      expect(oldWeb?.count(), 'nothing new for one that was removed').to.equal(requests);
      expect(oldEcho?.count()).to.equal(flows);
      oldWeb?.close();
      oldEcho?.close();
    }
    expect(load.failures).to.deep.equal([]);
  });

  it('endpoints die without a word: at most what was in flight on them fails', async () => {
    web.shift()?.close();
    echo.shift()?.close();
    // Discovery has not noticed; the dead ones refuse connections.
    await load.goesOn(200);
    expect(load.failures.length, load.failures.join('\n')).to.be.at.most(2 * WORKERS);
    const before = load.failures.length;
    await load.goesOn(200);
    serveAll();
    await load.goesOn(200);
    expect(load.failures.slice(before)).to.deep.equal([]);
  });

  it('all endpoints are replaced at once: no request fails', async () => {
    const old = [...web, ...echo];
    web = [await http1Origin('x')];
    echo = [await rawOrigin()];
    serveAll();
    await load.goesOn();
    expect(load.failures).to.deep.equal([]);
    old.forEach((origin) => origin.close());
    await load.goesOn();
    expect(load.failures).to.deep.equal([]);
  });

  it('the gateway gets a new leaf, many times: no request fails, and new connections see it', async () => {
    for (let round = 0; round < 10; round++) {
      gateway.rotate(await issueLeaf(gateway.authority, { identity: 'gateway.west' }));
      await load.goesOn(20);
    }
    const leaf = await issueLeaf(gateway.authority, { identity: 'gateway.west' });
    gateway.rotate(leaf);
    const client = await gateway.connect(settings);
    expect(leafOf(client.socket)).to.equal(firstOf(leaf.cert));
    client.socket.destroy();
    expect(load.failures).to.deep.equal([]);
  });

  it('the trust anchors are rotated: old and new are both accepted while both are there, and no request fails', async () => {
    const next = await createIssuer(await createAnchor({}), {});
    const both = gateway.authority.ca + next.ca;
    const leafUnder = async (authority: Authority, ca: string, identity: string) => ({
      ...(await issueLeaf(authority, { identity })),
      ca,
    });
    const as = async (authority: Authority, ca: string): Promise<ClientSettings> => {
      const { cert, key } = await leafUnder(authority, ca, 'client.east');
      return { cert, key, ca };
    };
    // First everybody trusts both, then everybody's leaf changes, then the old anchor goes (Linkerd's own way
    // to do it).
    gateway.rotate(await leafUnder(gateway.authority, both, 'gateway.west'));
    settings = await as(gateway.authority, both);
    await load.goesOn();
    settings = await as(next, both);
    await load.goesOn();
    gateway.rotate(await leafUnder(next, both, 'gateway.west'));
    await load.goesOn();
    const open = await gateway.open(ECHO, 'opaque', await as(gateway.authority, both));
    await open.send('old').hears(/old/);
    gateway.rotate(await leafUnder(next, next.ca, 'gateway.west'));
    settings = await as(next, next.ca);
    await load.goesOn();
    expect(load.failures).to.deep.equal([]);
    // Who has not changed comes in no more; who is in stays.
    await open.send(' friend').hears(/old friend/);
    const late = gateway.dial(await as(gateway.authority, both));
    await eventually('it is refused', () => late.destroyed || late.readableEnded);
    expect(gateway.refused['client certificate']).to.equal(1);
  });
});

function leafOf(socket: tls.TLSSocket): string {
  return socket.getPeerX509Certificate()?.toString().trim() ?? '';
}

function firstOf(chain: string): string {
  return chain.slice(0, chain.indexOf('-----END CERTIFICATE-----') + '-----END CERTIFICATE-----'.length);
}

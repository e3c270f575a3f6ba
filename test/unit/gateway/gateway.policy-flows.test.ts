import { expect } from 'chai';
import { once } from 'node:events';
import http from 'node:http';
import type net from 'node:net';
import type tls from 'node:tls';
import { forwardedElement } from '../../../src/gateway/authorization/forwarded.ts';
import type { PolicySource } from '../../../src/gateway/authorization/policy-source.ts';
import type { PolicyClient } from '../../../src/gateway/authorization/policy-verdict.ts';
import { type LocalGateway, localGateway } from '../../support/local-gateway.ts';
import type { ClientKind } from '../../support/service-client.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from '../../support/origins.ts';

/** Policies that a test writes: namespaces whose targets nobody may use. */
class ScriptedPolicies implements PolicySource {
  ready = { ok: true, reason: '' };
  readonly asked: PolicyClient[] = [];
  readonly #listeners = new Set<(namespace: string | undefined) => void>();
  readonly #closed = new Set<string>();
  #version = 0;

  version(): number {
    return this.#version;
  }

  verdict(_: unknown, namespace: string, client: PolicyClient) {
    this.asked.push(client);
    const allowed = !this.#closed.has(namespace);
    return {
      allowed,
      policy: 'policy.linkerd.io/server/all',
      reason: allowed ? '' : `Server ${namespace}/all has no policy that allows client ${client.identity}`,
    };
  }

  limits() {
    return [];
  }

  subscribe(listener: (namespace: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @param told whom a change concerns; undefined = all */
  change(namespace: string, open: boolean, told: string | undefined = namespace): void {
    if (open) this.#closed.delete(namespace);
    else this.#closed.add(namespace);
    this.#version++;
    for (const listener of this.#listeners) listener(told);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const named = (service: string, namespace: string) => `${service}.${namespace}.svc.cluster.local`;
const WEB = named('web', 'demo');
const DB = named('db', 'demo');
const SHOP = named('db', 'shop');

/** Resolves when the connection is reset: its peer must not take that for a proper end. */
async function reset(socket: net.Socket): Promise<void> {
  const [error] = (await once(socket.resume(), 'close').catch((failure: unknown) => [failure])) as unknown[];
  expect(error).to.include({ code: 'ECONNRESET' });
}

describe('a gateway whose cluster has policies', () => {
  let policies: ScriptedPolicies;
  let local: LocalGateway;
  const origins: Origin[] = [];

  beforeEach(async () => {
    const [web, db] = await Promise.all([http1Origin(), rawOrigin('hello')]);
    origins.push(web, db);
    const spec = (name: string, { port }: Origin, protocol: 'http1' | 'opaque') => ({
      name,
      port: 80,
      endpoints: [{ host: '127.0.0.1', port, ready: true }],
      protocol,
    });
    policies = new ScriptedPolicies();
    const specs = [spec(WEB, web, 'http1'), spec(DB, db, 'opaque'), spec(SHOP, db, 'opaque')];
    local = await localGateway(specs, { policies });
  });
  afterEach(async () => {
    await local.close();
    for (const origin of origins.splice(0)) origin.close();
  });

  const get = (kind: ClientKind = 'http2', name = WEB) =>
    local.client.request(kind, name, { path: '/hello' });

  /** A raw connection that has heard the server's greeting. */
  async function tunnel(name: string): Promise<tls.TLSSocket> {
    const socket = await local.client.connect(name, 80, 'opaque');
    const [greeting] = (await once(socket, 'data')) as [Buffer];
    expect(greeting.toString()).to.equal('hello');
    return socket;
  }

  async function echoes(socket: net.Socket): Promise<void> {
    socket.write('ping');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).to.equal('ping');
  }

  for (const kind of ['http1', 'http2'] as const) {
    it(`refuses the next ${kind} request after a change, says who refused whom, and serves the one after the next change`, async () => {
      expect((await get(kind)).status).to.equal(200);
      policies.change('demo', false);
      const { status, body } = await get(kind);
      expect(status).to.equal(403);
      expect(body.toString()).to.contain(
        'web.demo:80: Server demo/all has no policy that allows client client.east',
      );
      policies.change('demo', true);
      expect((await get(kind)).status).to.equal(200);
    });
  }

  it('ends raw connections that are not allowed any more, and no others', async () => {
    const [ended, lives] = await Promise.all([tunnel(DB), tunnel(SHOP)]);
    const closed = reset(ended);
    policies.change('demo', false);
    await closed;
    await echoes(lives);
    expect(local.gateway.counters.failures.get('tcp\tunauthorized')).to.equal(1);
  });

  it('ends them whatever namespace a change of general use comes from', async () => {
    const ended = await tunnel(DB);
    const closed = reset(ended);
    policies.change('demo', false, undefined);
    await closed;
  });

  it('ends upgraded connections that are not allowed any more', async () => {
    const socket = await local.client.connect(WEB, 80, 'http1');
    socket.write('GET /ws HTTP/1.1\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n');
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString()).to.match(/^HTTP\/1\.1 101 /);
    await echoes(socket);
    const closed = reset(socket);
    policies.change('demo', false);
    await closed;
  });

  it('works a verdict out once for a connection, and again after a change', async () => {
    for (let request = 0; request < 3; request++) await get();
    expect(policies.asked).to.deep.equal([{ identity: 'client.east', address: '127.0.0.1' }]);
    policies.change('shop', true);
    await get();
    expect(policies.asked).to.have.length(2);
  });

  it('counts verdicts under what decided', async () => {
    await get();
    policies.change('demo', false);
    await get();
    const { authorizations } = local.gateway.counters.snapshot();
    const key = (verdict: string) => `http\t${verdict}\tclient.east\tpolicy.linkerd.io/server/all`;
    expect(authorizations).to.deep.equal({ [key('allow')]: 1, [key('deny')]: 1 });
  });

  it('is not ready before it knows the policies', () => {
    expect(local.gateway.ready.ok).to.equal(true);
    policies.ready = { ok: false, reason: 'policies are not known yet' };
    expect(local.gateway.ready).to.deep.equal(policies.ready);
  });
});

describe('a gateway of other trust domains', () => {
  it('refuses a client of a trust domain that it does not know, though its anchors vouch for it', async () => {
    const [origin, raw] = await Promise.all([http1Origin(), rawOrigin('hello')]);
    const spec = (name: string, { port }: Origin) => ({
      name,
      port: 80,
      endpoints: [{ host: '127.0.0.1', port, ready: true }],
    });
    const local = await localGateway([spec(WEB, origin), spec(DB, raw)], { allowTrustDomains: ['north'] });
    try {
      const { status, body } = await local.client.request('http2', WEB, { path: '/hello' });
      expect(status).to.equal(403);
      expect(body.toString()).to.contain(
        'web.demo:80: client client.east is of none of the trust domains that may use this gateway (north)',
      );
      const socket = await local.client.connect(DB, 80, 'opaque');
      await once(socket.resume(), 'end');
      expect(origin.count() + raw.count()).to.equal(0);
      expect(local.gateway.counters.failures.get('tcp\tunauthorized')).to.equal(1);
    } finally {
      await local.close();
      origin.close();
      raw.close();
    }
  });
});

/**
 * What targets believe about their clients comes in these fields; one that a client could write itself would
 * make it whoever it likes.
 */
describe('fields that say who the client is', () => {
  const SPOOFED = {
    'l5d-client-id': 'admin.west',
    'L5D-Client-Id': 'admin.west',
    'l5d-dst-canonical': 'bank.demo.svc.cluster.local:80',
    'l5d-dst-override': 'bank.demo.svc.cluster.local:80',
    'l5d-anything': 'x',
    l5d_client_id: 'admin.west',
    'L5d_Client-Id': 'admin.west',
    'l5d-dst_canonical': 'bank.demo.svc.cluster.local:80',
    forwarded: 'by=edge.east;for=192.0.2.1;proto=http',
  };
  const origins = { http1: http1Origin, http2: http2Origin };

  for (const kind of ['http1', 'http2', 'http1-upgraded'] as const) {
    for (const protocol of ['http1', 'http2'] as const) {
      it(`are the gateway's own: client ${kind}, target ${protocol}`, async () => {
        const origin = await origins[protocol]();
        const endpoints = [{ host: '127.0.0.1', port: origin.port, ready: true }];
        const local = await localGateway([{ name: WEB, port: 80, endpoints, protocol }]);
        try {
          const headers =
            kind === 'http1'
              ? SPOOFED
              : Object.fromEntries(Object.entries(SPOOFED).filter(([name]) => name === name.toLowerCase()));
          const { body } = await local.client.request(kind, WEB, {
            path: '/facts',
            headers: { ...headers, [kind === 'http1' ? 'host' : ':authority']: 'admin.west' },
          });
          const { headers: seen } = JSON.parse(body.toString()) as { headers: Record<string, string> };
          const proxied = Object.entries(seen).filter(([name]) => /^l5d[-_]/.test(name));
          // One rule for the virtual host, whatever the client speaks.
          expect(seen[protocol === 'http1' ? 'host' : ':authority']).to.equal(WEB);
          expect(Object.fromEntries(proxied)).to.deep.equal({
            'l5d-client-id': 'client.east',
            'l5d-dst-canonical': `${WEB}:80`,
          });
          // What the client said stays, and what the gateway vouches for comes last.
          expect(seen['forwarded']).to.match(
            /^by=edge\.east;for=192\.0\.2\.1;proto=http, ?by=gateway\.west;for=client\.east;host=web\.demo\.svc\.cluster\.local:80;proto=https$/,
          );
        } finally {
          await local.close();
          origin.close();
        }
      });
    }
  }

  for (const kind of ['http1', 'http2', 'http1-upgraded'] as const)
    it(`cannot come as trailers of ${kind}`, async () => {
      const seen: string[] = [];
      const origin = http.createServer((request, response) => {
        request.resume().on('end', () => {
          seen.push(...Object.keys(request.trailers));
          response.end();
        });
      });
      await once(origin.listen(0, '127.0.0.1'), 'listening');
      const { port } = origin.address() as net.AddressInfo;
      const endpoints = [{ host: '127.0.0.1', port, ready: true }];
      const local = await localGateway([{ name: WEB, port: 80, endpoints, protocol: 'http1' }]);
      try {
        await local.client.request(kind, WEB, {
          method: 'POST',
          path: '/',
          body: [Buffer.from('x')],
          trailers: {
            'l5d-client-id': 'admin.west',
            l5d_client_id: 'admin.west',
            forwarded: 'for=admin.west',
            'x-sent': 'yes',
          },
        });
        expect(seen).to.deep.equal(['x-sent']);
      } finally {
        await local.close();
        origin.close();
      }
    });

  it('are quoted where a name has characters that would end it', () => {
    expect(forwardedElement('gateway.west', 'spiffe://west/ns/a', 'web:80')).to.equal(
      'by=gateway.west;for=spiffe://west/ns/a;host=web:80;proto=https',
    );
    expect(forwardedElement('gateway.west', 'spiffe://west/a;by=x,"y', 'web:80')).to.equal(
      String.raw`by=gateway.west;for="spiffe://west/a;by=x,\"y";host=web:80;proto=https`,
    );
  });
});

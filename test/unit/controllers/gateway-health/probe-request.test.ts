import { expect } from 'chai';
import { once } from 'node:events';
import http2 from 'node:http2';
import net, { type AddressInfo, type Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import { systemClock } from '../../../../src/base/clock.ts';
import type { Identity } from '../../../../src/identity/sources/identity.ts';
import {
  type Authority,
  createAnchor,
  createIssuer,
  issueLeaf,
} from '../../../../src/identity/authority/issue.ts';
import type { ProbeOutcome } from '../../../../src/api/reasons/probe-outcome.ts';
import { Prober, type ProbeTarget } from '../../../../src/controllers/gateway-health/probe-request.ts';
import { eventually } from '../../../support/eventually.ts';

const GATEWAY = 'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local';
const SPIFFE = 'spiffe://example.org/ns/mesh/sa/gateway';

interface Requested {
  readonly headers: http2.IncomingHttpHeaders;
  readonly servername: unknown;
  readonly alpn: unknown;
}

/** A port where each connection goes to `serve`; keeps count of what is open. */
class Stage {
  readonly open = new Set<Socket>();
  accepted = 0;
  port = 0;
  serve: (socket: Socket) => void;
  readonly #server: net.Server;

  constructor(serve: (socket: Socket) => void) {
    this.serve = serve;
    this.#server = net.createServer((socket) => {
      this.accepted++;
      this.open.add(socket);
      socket.on('error', () => undefined).on('close', () => this.open.delete(socket));
      this.serve(socket);
    });
  }

  async listen(): Promise<this> {
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  async close(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Answers `text` to what is sent first. */
function says(text: string): (socket: Socket) => void {
  return (socket) => void socket.once('data', () => socket.write(text));
}

/** Reads and never answers. A socket that is not read would not notice that the probe has gone. */
const silent = (socket: Socket) => void socket.resume();

/** Speaks mTLS with HTTP/2 as Linkerd's admin port does, and something else to whoever comes in the clear. */
function meshed(own: Identity, options: { status?: number; clear?: string; requested?: Requested[] } = {}) {
  const secure = tls.createServer({
    cert: own.cert,
    key: own.key,
    ca: own.ca,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  });
  secure.on('secureConnection', (socket: TLSSocket & { servername?: unknown }) => {
    const session = http2.performServerHandshake(socket);
    session.on('error', () => undefined);
    session.on('stream', (stream, headers) => {
      options.requested?.push({ headers, servername: socket.servername, alpn: socket.alpnProtocol });
      stream.on('error', () => undefined);
      stream.respond({ ':status': options.status ?? 200 });
      stream.end('ready\n');
    });
  });
  return besideTls(secure, (socket) => {
    if (options.clear === undefined) socket.destroy();
    else socket.end(options.clear);
  });
}

/** TLS servers behind the stages. */
const behind: tls.Server[] = [];

/** Leads those who begin with a TLS handshake to `secure`, and others to `clear`. */
function besideTls(secure: tls.Server, clear: (socket: Socket) => void): (socket: Socket) => void {
  secure.on('tlsClientError', (_, socket) => socket.end());
  secure.listen(0, '127.0.0.1');
  behind.push(secure);
  return (socket) =>
    void socket.once('data', (first: Buffer) => {
      if (first[0] !== TLS_HANDSHAKE) {
        clear(socket);
        return;
      }
      const inner = net.connect((secure.address() as AddressInfo).port, '127.0.0.1');
      inner.on('error', () => undefined).on('close', () => socket.resume().end());
      socket.on('close', () => inner.destroy());
      inner.write(first);
      socket.pipe(inner).pipe(socket);
    });
}

const TLS_HANDSHAKE = 0x16;
const FORBIDDEN = 'HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n';

// The probe decides whether traffic flows to a cluster. Whatever a broken, hostile or half-dead gateway does
// on the wire, it must come back in time with one word for it, and leave nothing open.
describe('one probe of a gateway address', () => {
  let issuer: Authority;
  let own: Identity;
  let gateway: Identity;
  const stages: Stage[] = [];

  before(async () => {
    issuer = await createIssuer(await createAnchor());
    own = await issueLeaf(issuer, { identity: 'controller.east' });
    gateway = await issueLeaf(issuer, { identity: GATEWAY });
  });

  afterEach(async () => {
    const left = await Promise.allSettled(
      stages.map((stage) => eventually('every connection is closed', () => stage.open.size === 0)),
    );
    await Promise.all(stages.splice(0).map((stage) => stage.close()));
    for (const secure of behind.splice(0)) secure.close();
    expect(left.filter(({ status }) => status === 'rejected')).to.have.length(0);
  });

  async function stage(serve: (socket: Socket) => void): Promise<Stage> {
    const made = await new Stage(serve).listen();
    stages.push(made);
    return made;
  }

  function prober(identity?: Identity): Prober {
    return new Prober({ clock: systemClock, identity: () => identity });
  }

  function target(port: number, more: Partial<ProbeTarget> = {}): ProbeTarget {
    return { host: '127.0.0.1', port, path: '/ready', identity: GATEWAY, timeoutMs: 5000, ...more };
  }

  async function ask(serve: (socket: Socket) => void, identity?: Identity, more?: Partial<ProbeTarget>) {
    const { port } = await stage(serve);
    return prober(identity).probe(target(port, more));
  }

  const reasonOf = (outcome: ProbeOutcome) => (outcome.ok ? `alive via ${outcome.via}` : outcome.reason);

  describe('in the clear', () => {
    it('is answered with 200', async () => {
      expect(reasonOf(await ask(says(OK)))).to.equal('alive via http1');
    });

    it('sends a GET of the path with the address as host and asks for no second request', async () => {
      let request = '';
      const serve = (socket: Socket) =>
        void socket.once('data', (data: Buffer) => {
          request = data.toString();
          socket.write(OK);
        });
      const { port } = await stage(serve);
      await prober().probe(target(port, { path: '/live' }));
      expect(request).to.match(/^GET \/live HTTP\/1\.1\r\n/);
      expect(request.toLowerCase()).to.include(`host: 127.0.0.1:${port}\r\n`);
      expect(request.toLowerCase()).to.include('connection: close\r\n');
    });

    it('does not wait for a body that never ends', async () => {
      const endless = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n';
      expect(reasonOf(await ask(says(endless)))).to.equal('alive via http1');
    });

    // A drained gateway answers 503, so that sources which know nothing of drains leave it; it is not dead.
    it('hears that the gateway asks to be drained, and takes a drained one for alive', async () => {
      const ask = `linkspan-drain: to=0, start=@1, ramp=60, until=@${Math.floor(Date.now() / 1000) + 600}`;
      const answer = (status: number, field: string) =>
        says(`HTTP/1.1 ${status} X\r\n${field}\r\ncontent-length: 0\r\n\r\n`);
      const { port } = await stage(answer(200, ask));
      expect(await prober().probe(target(port))).to.have.nested.property('drain.rampMs', 60_000);
      const drained = await stage(answer(503, ask));
      expect(await prober().probe(target(drained.port)))
        .to.deep.include({ ok: true })
        .and.to.have.property('drain');
      for (const field of ['linkspan-drain: to=0', `${ask}, x`, `${ask}\r\n${ask}`]) {
        const wrong = await stage(answer(503, field));
        expect(reasonOf(await prober().probe(target(wrong.port))), field).to.equal('ProbeStatus');
      }
    });

    for (const status of [204, 301, 404, 500, 503]) {
      it(`fails with ProbeStatus for ${status}`, async () => {
        const outcome = await ask(says(`HTTP/1.1 ${status} X\r\ncontent-length: 0\r\n\r\n`), own);
        expect(outcome).to.include({ ok: false, reason: 'ProbeStatus', message: `it answered ${status}` });
      });
    }

    it('fails with ProbeRefused where nobody listens', async () => {
      const gone = await new Stage(() => undefined).listen();
      await gone.close();
      const outcome = await prober(own).probe(target(gone.port));
      expect(outcome).to.include({ ok: false, reason: 'ProbeRefused' });
    });

    it('fails with ProbeTimeout, in time, when the address accepts and stays silent', async () => {
      const outcome = await ask(silent, own, { timeoutMs: 100 });
      expect(outcome).to.include({ ok: false, reason: 'ProbeTimeout' });
      expect(outcome.latencyMs).to.be.at.least(95);
    });

    it('fails with ProbeTimeout when headers trickle in for ever', async () => {
      const trickle = (socket: Socket) => {
        socket.resume().write('HTTP/1.1 200 OK\r\n');
        const timer = setInterval(() => socket.write('x: y\r\n'), 10);
        socket.on('close', () => clearInterval(timer));
      };
      expect(reasonOf(await ask(trickle, own, { timeoutMs: 150 }))).to.equal('ProbeTimeout');
    });

    it('fails with ProbeBroken for more headers than a gateway could mean', async () => {
      const huge = `HTTP/1.1 200 OK\r\n${`x-padding: ${'y'.repeat(1000)}\r\n`.repeat(64)}\r\n`;
      const outcome = await ask(says(huge), own);
      expect(outcome).to.include({ ok: false, reason: 'ProbeBroken' });
      expect((outcome as { message: string }).message).to.include('16384 bytes');
    });

    it('fails with ProbeBroken for an answer that is not HTTP', async () => {
      expect(reasonOf(await ask(says('SSH-2.0-OpenSSH_9.6\r\n'), own))).to.equal('ProbeBroken');
    });

    it('fails with ProbeBroken when the answer breaks off', async () => {
      const breaksOff = (socket: Socket) =>
        void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nx'));
      expect(reasonOf(await ask(breaksOff, own))).to.equal('ProbeBroken');
    });

    it('fails with ProbeBroken, not by throwing, for a path that cannot be sent', async () => {
      expect(reasonOf(await ask(says(OK), own, { path: '/a b\r\nx: y' }))).to.equal('ProbeBroken');
    });

    it('ends at once when it is stopped', async () => {
      const place = await stage(silent);
      const stopping = new AbortController();
      const outcome = prober().probe(target(place.port), stopping.signal);
      await eventually('connected', () => place.open.size === 1);
      stopping.abort();
      expect(await outcome).to.include({ ok: false, message: 'the probe was stopped' });
    });

    it('connects nowhere when it was stopped before', async () => {
      const place = await stage(silent);
      await prober(own).probe(target(place.port), AbortSignal.abort());
      expect(place.accepted).to.equal(0);
    });
  });

  describe('where mTLS is demanded', () => {
    for (const [how, clear] of [
      ['403', FORBIDDEN],
      ['401', FORBIDDEN.replace('403', '401')],
      ['closing without an answer', undefined],
      ['a TLS alert', '\x15\x03\x03\x00\x02\x02\x46'],
    ] as const) {
      it(`goes on with mTLS and HTTP/2 after ${how}`, async () => {
        const serve = meshed(gateway, clear === undefined ? {} : { clear });
        expect(reasonOf(await ask(serve, own))).to.equal('alive via mtls');
      });

      it(`fails with ProbeNeedsIdentity after ${how} while the controller has none`, async () => {
        const serve = meshed(gateway, clear === undefined ? {} : { clear });
        expect(reasonOf(await ask(serve))).to.equal('ProbeNeedsIdentity');
      });
    }

    it("asks as Linkerd's proxy does: SNI, no ALPN, prior knowledge, l5d-orig-proto", async () => {
      const requested: Requested[] = [];
      const { port } = await stage(meshed(gateway, { requested }));
      await prober(own).probe(target(port));
      expect(requested).to.have.length(1);
      expect(requested[0]).to.deep.include({ servername: GATEWAY, alpn: false });
      expect(requested[0]?.headers).to.include({
        ':method': 'GET',
        ':path': '/ready',
        ':authority': `127.0.0.1:${port}`,
        'l5d-orig-proto': 'HTTP/1.1',
      });
    });

    it('knows a gateway by its SPIFFE identity, for which no server name is sent', async () => {
      const requested: Requested[] = [];
      const leaf = await issueLeaf(issuer, { identity: SPIFFE });
      const outcome = await ask(meshed(leaf, { requested }), own, { identity: SPIFFE });
      expect(reasonOf(outcome)).to.equal('alive via mtls');
      expect(requested[0]?.servername).to.equal(false);
    });

    it('fails with ProbeIdentity when another identity is proven', async () => {
      const impostor = await issueLeaf(issuer, { identity: 'web.demo.cluster.local' });
      const outcome = await ask(meshed(impostor), own);
      expect(outcome).to.include({ ok: false, reason: 'ProbeIdentity' });
      expect((outcome as { message: string }).message).to.include('web.demo.cluster.local instead of');
    });

    it('fails with ProbeIdentity when the identity in the Link is a pattern', async () => {
      expect(reasonOf(await ask(meshed(gateway), own, { identity: '*' }))).to.equal('ProbeIdentity');
    });

    it('fails with ProbeIdentity for a chain to another trust anchor', async () => {
      const foreign = await createIssuer(await createAnchor());
      const stranger = { ...(await issueLeaf(foreign, { identity: GATEWAY })), ca: own.ca };
      expect(reasonOf(await ask(meshed(stranger), own))).to.equal('ProbeIdentity');
    });

    it('fails with ProbeIdentity for an expired certificate', async () => {
      // Issued two hours ago for one hour, by an issuer of that time.
      const past = { ...systemClock, now: () => Date.now() - 7_200_000 };
      const anchor = await createAnchor({ clock: past });
      const old = await createIssuer(anchor, { clock: past });
      const leaf = await issueLeaf(old, { identity: GATEWAY, lifetimeMs: 3_600_000, clock: past });
      const trusting = { ...own, ca: own.ca + anchor.cert };
      const outcome = await ask(meshed({ ...leaf, ca: trusting.ca }), trusting);
      expect(outcome).to.include({ ok: false, reason: 'ProbeIdentity' });
      expect((outcome as { message: string }).message).to.match(/expired/);
    });

    it('says that the gateway may not trust the controller when it closes after the handshake', async () => {
      const foreign = await createIssuer(await createAnchor());
      const stranger = { ...(await issueLeaf(foreign, { identity: 'controller.east' })), ca: own.ca };
      const outcome = await ask(meshed(gateway), stranger);
      expect(outcome).to.include({ ok: false, reason: 'ProbeBroken' });
      expect((outcome as { message: string }).message).to.include("trust the controller's certificate");
    });

    it('fails with ProbeIdentity when the gateway speaks no TLS 1.3', async () => {
      const old = tls.createServer({ ...pems(gateway), maxVersion: 'TLSv1.2' });
      const outcome = await ask(
        besideTls(old, (socket) => void socket.destroy()),
        own,
      );
      expect(reasonOf(outcome)).to.equal('ProbeIdentity');
    });

    it('fails with ProbeStatus when it is not ready', async () => {
      const outcome = await ask(meshed(gateway, { status: 503 }), own);
      expect(outcome).to.include({ reason: 'ProbeStatus', message: 'it answered 503 with mTLS' });
    });

    it('fails with ProbeBroken when it closes every connection', async () => {
      expect(reasonOf(await ask((socket) => void socket.destroy(), own))).to.equal('ProbeBroken');
    });

    it('fails with ProbeBroken when it resets every connection', async () => {
      expect(reasonOf(await ask((socket) => void socket.resetAndDestroy(), own))).to.equal('ProbeBroken');
    });

    it('fails with ProbeStatus when it forbids the clear and speaks no TLS', async () => {
      const outcome = await ask(says(FORBIDDEN), own);
      expect(outcome).to.include({
        reason: 'ProbeStatus',
        message: 'it answered 403, and to mTLS: it does not speak TLS',
      });
    });

    it('gives both tries together one time limit', async () => {
      const serve = (socket: Socket) =>
        void socket.once('data', (first: Buffer) => {
          if (first[0] !== TLS_HANDSHAKE) setTimeout(() => socket.end(FORBIDDEN), 100);
        });
      const outcome = await ask(serve, own, { timeoutMs: 250 });
      expect(outcome).to.include({ ok: false, reason: 'ProbeTimeout' });
      expect(outcome.latencyMs).to.be.at.least(245);
    });

    it('fails with ProbeBroken when the peer speaks no HTTP/2 after the handshake', async () => {
      const secure = tls.createServer({ ...pems(gateway), requestCert: true }, (socket) => {
        socket.on('error', () => undefined).write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      });
      const serve = besideTls(secure, (socket) => void socket.destroy());
      expect(reasonOf(await ask(serve, own))).to.equal('ProbeBroken');
    });
  });

  describe('the second time', () => {
    it('starts with mTLS where that worked', async () => {
      const place = await stage(meshed(gateway, { clear: FORBIDDEN }));
      const same = prober(own);
      await same.probe(target(place.port));
      await same.probe(target(place.port));
      expect(place.accepted).to.equal(3);
    });

    it('goes back to HTTP/1.1 where the gateway has left the mesh', async () => {
      const place = await stage(meshed(gateway, { clear: FORBIDDEN }));
      const same = prober(own);
      await same.probe(target(place.port));
      place.serve = says(OK);
      expect(reasonOf(await same.probe(target(place.port)))).to.equal('alive via http1');
      expect(reasonOf(await same.probe(target(place.port)))).to.equal('alive via http1');
      expect(place.accepted).to.equal(5);
    });

    it('does not take a plain answer from whoever proves another identity in its place', async () => {
      const place = await stage(meshed(gateway, { clear: FORBIDDEN }));
      const same = prober(own);
      await same.probe(target(place.port));
      const impostor = await issueLeaf(issuer, { identity: 'web.demo.cluster.local' });
      place.serve = meshed(impostor, { clear: OK });
      expect(reasonOf(await same.probe(target(place.port)))).to.equal('ProbeIdentity');
    });
  });
});

function pems({ cert, key, ca }: Identity): { cert: string; key: string; ca: string } {
  return { cert, key, ca };
}

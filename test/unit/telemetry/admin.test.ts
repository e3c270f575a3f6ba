import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { reportContainedTo } from '../../../src/base/isolation.ts';
import { AdminPages } from '../../../src/telemetry/admin-pages.ts';
import { type AdminServer, type Health, type PartHealth, startAdmin } from '../../../src/telemetry/admin.ts';
import { Counter, Registry } from '../../../src/telemetry/registry.ts';
import { adminRequest } from '../../support/admin-request.ts';
import { eventually } from '../../support/eventually.ts';

interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

describe('The admin port', () => {
  let admin: AdminServer;
  let health: Health = { ok: true, reason: '' };
  let part: PartHealth = { status: 200, reason: '' };
  let parts: readonly string[] = [];
  let level = 'info';

  before(async () => {
    const registry = new Registry();
    new Counter({ name: 'things_total', help: 'Things.', registers: [registry] }).inc(3);
    registry.addText(() => '# HELP more More.\n# TYPE more gauge\nmore 1\n');
    admin = await startAdmin({
      address: { host: '127.0.0.1', port: 0 },
      registry,
      ready: () => health,
      readyPart: (path) => {
        parts = path;
        return part;
      },
      logLevel: {
        get: () => level,
        set: (wanted) => {
          if (wanted !== 'debug') return `"${wanted}" is no level`;
          level = wanted;
          return undefined;
        },
      },
    });
  });
  after(() => admin.close());

  async function ask(path: string, method = 'GET', body = '', headers = {}): Promise<Reply> {
    const request = http.request({ port: admin.address.port, host: '127.0.0.1', path, method, headers });
    request.end(body);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
  }

  /** Sends bytes as they are; the answer is everything until the other side closes. */
  async function raw(text: string): Promise<string> {
    const socket = net.connect(admin.address.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.write(text, 'latin1');
    await once(socket, 'close');
    return answer;
  }

  // Nobody caught it: a process that had not got all that it starts with ended.
  for (const version of ['HTTP/1', 'HTTP/1, packed', 'HTTP/2'])
    it(`breaks off metrics of which a part cannot be made, and reports why, over ${version}`, async () => {
      const registry = new Registry();
      registry.addText(function* () {
        yield 'a 1\n';
        throw new Error('injected');
      });
      const broken = await startAdmin({
        address: { host: '127.0.0.1', port: 0 },
        registry,
        ready: () => ({ ok: true, reason: '' }),
      });
      const reported: string[] = [];
      const back = reportContainedTo((error) => void reported.push(String(error)));
      try {
        const { port } = broken.address;
        const headers = version.endsWith('packed') ? { 'accept-encoding': 'gzip' } : {};
        const body = version === 'HTTP/2' ? overHttp2(port) : overHttp1(port, headers);
        expect(await body.catch(() => 'broken off')).to.equal('broken off');
        await eventually('it is reported', () => reported.length > 0);
        expect(reported).to.deep.equal(['Error: injected']);
      } finally {
        back();
        await broken.close();
      }
    });

  it("answers /ready and /live in the words of Linkerd's proxy", async () => {
    health = { ok: true, reason: '' };
    const ready = await ask('/ready');
    expect([ready.status, ready.body.toString()]).to.deep.equal([200, 'ready\n']);
    expect((await ask('/live')).body.toString()).to.equal('live\n');
  });

  it('says why it is not ready', async () => {
    health = { ok: false, reason: 'no certificate yet' };
    const { status, body } = await ask('/ready');
    expect([status, body.toString()]).to.deep.equal([503, 'not ready\nno certificate yet\n']);
  });

  it('answers for each part', async () => {
    part = { status: 503, reason: 'no ready endpoints' };
    const { status, body } = await ask('/ready/demo/w%65b?port=80');
    expect([status, body.toString()]).to.deep.equal([503, 'not ready\nno ready endpoints\n']);
    expect(parts).to.deep.equal(['demo', 'web']);
  });

  it('gives metrics, and packs them when asked to', async () => {
    const plain = await ask('/metrics');
    expect(plain.body.toString()).to.contain('things_total 3').and.to.contain('more 1');
    const packed = await ask('/metrics', 'GET', '', { 'accept-encoding': 'deflate, gzip;q=0.5' });
    expect(packed.headers['content-encoding']).to.equal('gzip');
    expect(gunzipSync(packed.body).toString()).to.equal(plain.body.toString());
    const refused = await ask('/metrics', 'GET', '', { 'accept-encoding': 'gzip;q=0' });
    expect(refused.headers['content-encoding']).to.equal(undefined);
  });

  // Each scrape on a kept connection took 46 ms, nearly all of it a wait for the reader's delayed
  // acknowledgement: its last part is small, and it was sent behind others.
  it('sends the end of the metrics without waiting for the reader to have acknowledged the rest', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const scrape = async () => {
      const headers = { 'accept-encoding': 'gzip' };
      const request = http.get({
        port: admin.address.port,
        host: '127.0.0.1',
        path: '/metrics',
        headers,
        agent,
      });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      await response.resume().toArray();
    };
    try {
      // The first acknowledgements of a connection are not delayed.
      for (let count = 0; count < 40; count++) await scrape();
      await eventually('ten take less than ten such waits, and mostly far less', async () => {
        const before = performance.now();
        for (let count = 0; count < 10; count++) await scrape();
        return performance.now() - before < 10 * 38;
      });
    } finally {
      agent.destroy();
    }
  });

  it('answers HEAD with the head of GET', async () => {
    for (const path of ['/ready', '/metrics']) {
      const get = await ask(path);
      const head = await ask(path, 'HEAD');
      expect([head.status, head.body.length]).to.deep.equal([get.status, 0]);
      const { date: _, 'transfer-encoding': ofBody, ...fields } = get.headers;
      expect(ofBody, path).to.equal(path === '/metrics' ? 'chunked' : undefined);
      expect(head.headers).to.include(fields);
    }
  });

  it('names what it has, and what a page takes', async () => {
    const missing = await ask('/env.json');
    expect(missing.status).to.equal(404);
    expect(missing.body.toString()).to.contain('/metrics');
    const posted = await ask('/ready', 'POST', 'x');
    expect([posted.status, posted.headers.allow]).to.deep.equal([405, 'GET, HEAD']);
  });

  it('sets the log level from loopback', async () => {
    expect((await ask('/proxy-log-level')).body.toString()).to.equal('info\n');
    expect((await ask('/proxy-log-level', 'PUT', 'debug\n')).status).to.equal(204);
    expect(level).to.equal('debug');
    const wrong = await ask('/proxy-log-level', 'PUT', 'loud');
    expect([wrong.status, wrong.body.toString()]).to.deep.equal([400, '"loud" is no level\n']);
    expect((await ask('/proxy-log-level', 'PUT', 'x'.repeat(5000))).status).to.equal(413);
  });

  // It held in a review: debug lines fill a disk.
  it('has no log level set by whoever else reaches the port, and shows it to them', async () => {
    let set = 0;
    const logLevel = { get: () => 'info', set: () => void set++ };
    const pages = new AdminPages({ ready: () => health, logLevel });
    const asked = adminRequest({ path: '/proxy-log-level', body: 'debug' });
    expect((await pages.answer({ ...asked, method: 'PUT' })).status).to.equal(403);
    expect((await pages.answer({ ...asked, method: 'GET' })).status).to.equal(200);
    expect(set).to.equal(0);
    expect((await pages.answer({ ...asked, method: 'PUT', local: true })).status).to.equal(204);
    expect(set).to.equal(1);
  });

  it('takes an HTTP/1 request without Host, byte by byte', async () => {
    health = { ok: true, reason: '' };
    const socket = net.connect(admin.address.port, '127.0.0.1');
    socket.setNoDelay(true);
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    for (const byte of 'GET /ready HTTP/1.1\r\nconnection: close\r\n\r\n') {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await once(socket, 'close');
    expect(answer)
      .to.match(/^HTTP\/1\.1 200 OK/)
      .and.to.match(/\r\n\r\nready\n$/);
  });

  it('tells PUT from the preface of HTTP/2 even in pieces', async () => {
    const socket = net.connect(admin.address.port, '127.0.0.1');
    socket.setNoDelay(true);
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.write('P');
    // Enough turns for the byte to arrive alone; should it not, the test is weaker, not wrong.
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    socket.write('UT /ready HTTP/1.1\r\ncontent-length: 0\r\n\r\n');
    await once(socket, 'close');
    expect(answer).to.match(/^HTTP\/1\.1 405/);
  });

  it('refuses a head that is too long', async () => {
    expect(await raw(`GET /ready HTTP/1.1\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`)).to.match(/^HTTP\/1\.1 431/);
  });

  it('disconnects who speaks TLS where there is none', async () => {
    expect(await raw('\x16\x03\x01\x00\x05hello')).to.equal('');
  });

  // Somebody who opens connections and says nothing must not keep kubelet's probe out: the pod would be
  // restarted.
  it('makes room for a new connection by closing the oldest', async () => {
    const silent = Array.from({ length: 300 }, () => net.connect(admin.address.port, '127.0.0.1'));
    for (const socket of silent) socket.resume().on('error', () => undefined);
    await eventually('the oldest are closed', async () => silent.filter((s) => s.destroyed).length >= 44);
    expect((await ask('/ready')).status).to.equal(200);
    for (const socket of silent) socket.destroy();
  });

  // Whoever opened connections faster than kubelet's probe took drove the probe out: the oldest went, whoever
  // it was.
  it('makes room at the cost of the address that has most connections', async () => {
    const from = (localAddress: string) => {
      const socket = net.connect({ port: admin.address.port, host: '127.0.0.1', localAddress });
      return socket.resume().on('error', () => undefined);
    };
    const probes = Array.from({ length: 5 }, () => from('127.0.0.2'));
    await Promise.all(probes.map((socket) => once(socket, 'connect')));
    const flood = Array.from({ length: 600 }, () => from('127.0.0.1'));
    await eventually('the flood made room', () => flood.filter((s) => s.destroyed).length >= 349);
    expect(probes.filter((socket) => socket.destroyed)).to.deep.equal([]);
    for (const socket of [...probes, ...flood]) socket.destroy();
  });

  // The port for other clusters' probes said what an exception said, to whoever asked.
  it('gives strangers no text of an exception', async () => {
    const said = async (reasons: boolean) => {
      const ready = () => Promise.reject(new Error('10.0.0.7 is broken'));
      const request = adminRequest({ path: '/ready' });
      const { status, body } = await new AdminPages({ ready, reasons }).answer(request);
      return [status, Buffer.isBuffer(body) ? body.toString() : body];
    };
    expect(await said(true)).to.deep.equal([500, '10.0.0.7 is broken\n']);
    expect(await said(false)).to.deep.equal([500, 'internal error\n']);
  });

  it('says which port is taken', async () => {
    const options = { address: admin.address, registry: new Registry(), ready: () => health };
    const failure = await startAdmin(options).then(
      () => undefined,
      (error: unknown) => error as { code: string; message: string },
    );
    expect(failure?.code).to.equal('PORT_IN_USE');
  });
});

/** The whole body of the metrics page. @throws where it breaks off */
async function overHttp1(port: number, headers: http.OutgoingHttpHeaders): Promise<string> {
  const request = http.get({ port, host: '127.0.0.1', path: '/metrics', headers });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return textOf(response);
}

async function overHttp2(port: number): Promise<string> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  try {
    return await textOf(session.request({ ':path': '/metrics' }));
  } finally {
    session.destroy();
  }
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TLSSocket } from 'node:tls';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { raw, RawHttp2 } from '../support/raw-http2.ts';
import { rawHttp2Target, type RawRequest } from '../support/raw-http2-target.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

type Protocol = 'http1' | 'http2' | 'opaque';

/** A kind of session: which way a client comes, what it speaks, and what the target does. */
interface Kind {
  readonly way: 'mesh' | 'streams' | 'header';
  readonly client: Protocol;
  readonly target: Protocol;
}

const WAYS: Readonly<Record<Kind['way'], string>> = {
  mesh: 'a mesh client at the gateway',
  streams: 'a plain client at an egress in stream mode',
  header: 'a plain client at an egress without streams',
};
const HTTP = ['http1', 'http2'] as const;
const KINDS: readonly Kind[] = (Object.keys(WAYS) as Kind['way'][]).flatMap((way) => [
  ...HTTP.flatMap((client) => HTTP.map((target) => ({ way, client, target }))),
  { way, client: 'opaque', target: 'opaque' } as const,
]);
const nameOf = ({ way, client, target }: Kind) => `${way}-${client}-${target}.demo.svc.cluster.local`;

const EVIL = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil';
const OK = 'HTTP/1.1 200 OK\r\n';
const INTERNAL_ERROR = 2;

/** How an answer ends: what a target of either protocol does, and what the client must see of it. */
interface Ending {
  readonly method?: string;
  readonly http1?: (socket: net.Socket) => void;
  readonly http2?: (request: RawRequest) => readonly Buffer[];
  /** Status and body bytes, interim ones in front; or that it is cut. */
  readonly seen: string | Readonly<Record<'http1' | 'http2', string>>;
}

const say = (text: string) => (socket: net.Socket) => void socket.write(text);
const thenFin = (text: string) => (socket: net.Socket) => void socket.end(text);
const thenReset = (text: string) => (socket: net.Socket) =>
  void socket.write(text, () => setTimeout(() => socket.resetAndDestroy(), 20));
type Fields = readonly (readonly [string, string])[];
const say2 =
  (fields: Fields, body: string, end = true) =>
  ({ head, streamId }: RawRequest) => [head(false, ...fields), raw.data(streamId, body, end)];
const status = (code: number, ...more: Fields): Fields => [[':status', String(code)], ...more];
/** Half of an answer, and then something becomes of the connection. */
const half2 = (then: (socket: net.Socket) => void) => (request: RawRequest) => {
  setTimeout(() => then(request.socket), 20);
  return say2(status(200), 'half', false)(request);
};

const ENDINGS: Readonly<Record<string, Ending>> = {
  'a length': {
    http1: say(`${OK}content-length: 5\r\n\r\nwhole`),
    http2: say2(status(200, ['content-length', '5']), 'whole'),
    seen: '200 5',
  },
  'chunks, or the end of the stream': {
    http1: say(`${OK}transfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n`),
    http2: say2(status(200), 'whole'),
    seen: '200 5',
  },
  'the end of the connection': { http1: thenFin(`${OK}\r\nwhole`), seen: '200 5' },
  'HEAD, and a body behind it': {
    method: 'HEAD',
    http1: say(`${OK}content-length: 5\r\n\r\n${EVIL}`),
    http2: say2(status(200, ['content-length', '5']), EVIL),
    seen: '200 0',
  },
  '204, and a body behind it': {
    http1: say(`HTTP/1.1 204 No\r\n\r\n${EVIL}`),
    http2: say2(status(204), EVIL),
    seen: '204 0',
  },
  '304, and a body behind it': {
    http1: say(`HTTP/1.1 304 No\r\ncontent-length: 5\r\n\r\n${EVIL}`),
    http2: say2(status(304, ['content-length', '5']), EVIL),
    seen: '304 0',
  },
  'a length that is too short': {
    http1: say(`${OK}content-length: 5\r\n\r\nwhole${EVIL}`),
    http2: say2(status(200, ['content-length', '2']), 'whole'),
    seen: { http1: '200 5', http2: 'cut' },
  },
  'a length that is too long, and FIN': {
    http1: thenFin(`${OK}content-length: 9\r\n\r\nhalf`),
    http2: say2(status(200, ['content-length', '9']), 'half'),
    seen: 'cut',
  },
  'interim answers before it': {
    http1: say(`HTTP/1.1 103 Early\r\nlink: x\r\n\r\n${OK}content-length: 5\r\n\r\nwhole`),
    http2: (request) => [request.head(false, ...status(103)), ...say2(status(200), 'whole')(request)],
    seen: '103 200 5',
  },
  'RST before the length': { http1: thenReset(`${OK}content-length: 9\r\n\r\nhalf`), seen: 'cut' },
  'RST without a length': { http1: thenReset(`${OK}connection: close\r\n\r\nhalf`), seen: 'cut' },
  'FIN between chunks': {
    http1: thenFin(`${OK}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n`),
    seen: 'cut',
  },
  RST_STREAM: {
    http2: (request) => [
      ...say2(status(200), 'half', false)(request),
      raw.reset(request.streamId, INTERNAL_ERROR),
    ],
    seen: 'cut',
  },
  'RST of the connection': { http2: half2((socket) => socket.resetAndDestroy()), seen: 'cut' },
  'FIN of the connection': { http2: half2((socket) => socket.end()), seen: 'cut' },
};

/** How a client gives up; the target must hear of it. */
const LEAVINGS = [
  'before the answer',
  'in the middle of the answer',
  'in the middle of the request',
] as const;

const keyOf = (title: string) => `/${Object.keys(ENDINGS).indexOf(title)}`;

interface Target {
  readonly port: number;
  /** Whether whoever asked last has gone, in a way that the target hears. */
  readonly told: () => boolean;
  /** Requests that have begun. */
  readonly asked: () => number;
  close(): void;
}

async function http1Target(): Promise<Target> {
  let asked = 0;
  let last: net.Socket | undefined;
  const server = net.createServer((socket) => {
    let pending = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      pending += chunk.toString('latin1');
      const found = /^\S+ (\S+) HTTP\/1\.1\r\n[^]*?\r\n\r\n/m.exec(pending);
      if (found === null) return;
      pending = '';
      asked++;
      last = socket;
      const [, where = ''] = found;
      if (where === '/half') socket.write(`${OK}content-length: 9\r\n\r\nhalf`);
      else if (where !== '/silent') Object.values(ENDINGS)[Number(where.slice(1))]?.http1?.(socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    told: () => last?.destroyed === true || last?.readableEnded === true,
    asked: () => asked,
    close: () => server.close(),
  };
}

async function http2Target(): Promise<Target> {
  let last: RawRequest | undefined;
  const target = await rawHttp2Target((request) => {
    last = request;
    target.resets.delete(request.streamId);
    if (request.path === '/silent') return [];
    if (request.path === '/half') return say2(status(200), 'half', false)(request);
    return Object.values(ENDINGS)[Number(request.path.slice(1))]?.http2?.(request) ?? [];
  });
  return {
    port: target.port,
    told: () => last?.socket.destroyed === true || target.resets.has(last?.streamId ?? 0),
    asked: target.streams,
    close: () => target.close(),
  };
}

/** Raw bytes: each connection says `hello`, and does what it is told. */
async function opaqueTarget(): Promise<Target & { readonly last: () => string }> {
  let asked = 0;
  let last = '';
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    last = '';
    socket.on('error', ({ code }: NodeJS.ErrnoException) => (last = code ?? 'error'));
    socket.on('end', () => {
      last ||= 'end';
      socket.end();
    });
    socket.on('data', (chunk: Buffer) => {
      asked++;
      const text = chunk.toString('latin1');
      socket.write('hello');
      if (text === 'fin') socket.end();
      if (text === 'rst') setTimeout(() => socket.resetAndDestroy(), 20);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  return { port, told: () => last !== '', asked: () => asked, last: () => last, close: () => server.close() };
}

/**
 * What an HTTP/1 client reads, strictly: it believes nothing but heads, lengths, chunks and the end of the
 * connection.
 */
class Reader1 {
  readonly socket: net.Socket;
  text = '';
  ended = false;
  over = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')));
    socket.on('end', () => (this.ended = true));
    socket.on('close', () => (this.over = true));
    socket.on('error', () => (this.over = true));
  }

  /** The next answer, which is then read; undefined while it is not whole. */
  next(method: string): string | undefined {
    const heard: string[] = [];
    let at = 0;
    for (;;) {
      const end = this.text.indexOf('\r\n\r\n', at);
      if (end < 0) return undefined;
      const head = this.text.slice(at, end).toLowerCase();
      const code = head.slice(9, 12);
      heard.push(code);
      at = end + 4;
      if (code.startsWith('1')) continue;
      const body = this.#body(head, code, method, at);
      if (body === undefined) return undefined;
      this.text = this.text.slice(body.end);
      return [...heard, body.length].join(' ');
    }
  }

  #body(head: string, code: string, method: string, at: number): { length: number; end: number } | undefined {
    if (method === 'HEAD' || code === '204' || code === '304') return { length: 0, end: at };
    const length = /^content-length: (\d+)/m.exec(head)?.[1];
    if (head.includes('transfer-encoding: chunked')) {
      const end = this.text.indexOf('0\r\n\r\n', at);
      if (end < 0) return undefined;
      const chunks = [...this.text.slice(at, end).matchAll(/(?<=^|\r\n)([0-9a-f]+)\r\n/g)];
      return { length: chunks.reduce((sum, [, size = '']) => sum + parseInt(size, 16), 0), end: end + 5 };
    }
    if (length !== undefined)
      return this.text.length < at + Number(length)
        ? undefined
        : { length: Number(length), end: at + Number(length) };
    return this.ended ? { length: this.text.length - at, end: this.text.length } : undefined;
  }
}

const asCut = (seen: string | undefined) => (seen === undefined || seen.startsWith('502') ? 'cut' : seen);

async function ask1(socket: net.Socket, method: string, where: string): Promise<string> {
  const reader = new Reader1(socket);
  socket.write(`${method} ${where} HTTP/1.1\r\nhost: x\r\n\r\n`);
  let first: string | undefined;
  await eventually('an answer, or its end', () => (first = reader.next(method)) ?? reader.over, {
    everyMs: 3,
  });
  first = asCut(first ?? reader.next(method));
  // Whatever came behind the answer would be taken for the next one.
  if (first !== 'cut' && !reader.ended && !reader.over) {
    socket.write(`GET ${keyOf('a length')} HTTP/1.1\r\nhost: x\r\n\r\n`);
    let second: string | undefined;
    await eventually('the next', () => (second = reader.next('GET')) ?? reader.over, { everyMs: 3 });
    if (second !== undefined && second !== '200 5') first += `, then ${second}`;
  }
  socket.destroy();
  return first;
}

async function ask2(socket: net.Socket, method: string, where: string): Promise<string> {
  const client = new RawHttp2(socket);
  client.send(client.head(1, true, fieldsOf(method, where)));
  const mine = () => client.heard.filter((line) => /^(HEADERS|DATA|RST) 1 /.test(line));
  const isOver = () =>
    client.closed || mine().some((line) => line.endsWith(' end') || line.startsWith('RST'));
  await eventually('an answer, or its end', isOver, { everyMs: 3 });
  const codes = mine().flatMap((line) => /^HEADERS 1 (\d+)/.exec(line)?.[1] ?? []);
  const whole = mine().some((line) => line.endsWith(' end'));
  const seen = whole ? `${codes.join(' ')} ${client.dataBytes}` : undefined;
  socket.destroy();
  return asCut(seen);
}

const fieldsOf = (method: string, where: string): Fields => [
  [':method', method],
  [':scheme', 'http'],
  [':path', where],
  [':authority', 'x'],
];

/** Ends a connection in the middle: by a reset, in TLS by a FIN without its alert. */
function cut(socket: net.Socket): void {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}

/** One client gives up. @returns what the target hears */
async function leave(
  kind: Kind,
  connect: () => Promise<net.Socket>,
  target: Target,
  when: string,
): Promise<string> {
  const before = target.asked();
  const socket = await connect();
  const upload = when === 'in the middle of the request';
  const where = when === 'in the middle of the answer' ? '/half' : '/silent';
  const begun = () => target.asked() > before;
  if (kind.client === 'http1') {
    const reader = new Reader1(socket);
    socket.write(
      upload
        ? `POST ${where} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf`
        : `GET ${where} HTTP/1.1\r\nhost: x\r\n\r\n`,
    );
    await eventually('it has begun', () => begun() && (where !== '/half' || reader.text.includes('half')));
    if (upload) cut(socket);
    else socket.end();
  } else {
    const client = new RawHttp2(socket);
    client.send(client.head(1, !upload, fieldsOf(upload ? 'POST' : 'GET', where)));
    if (upload) client.send(raw.data(1, 'half'));
    await eventually('it has begun', () => begun() && (where !== '/half' || client.dataBytes === 4));
    if (upload) cut(socket);
    else client.send(raw.reset(1));
  }
  const told = await eventually('the target is told', target.told, { timeoutMs: 3000, everyMs: 5 }).catch(
    () => false,
  );
  socket.destroy();
  return told ? 'told' : 'not told';
}

/** Everything about one kind that speaks HTTP, one after the other. @returns by ending */
async function tableOf(kind: Kind, connect: () => Promise<net.Socket>, target: Target): Promise<Row> {
  const row: Row = {};
  for (const [title, ending] of Object.entries(ENDINGS)) {
    if (kind.target === 'opaque' || ending[kind.target] === undefined) continue;
    const ask = kind.client === 'http1' ? ask1 : ask2;
    row[title] = await ask(await connect(), ending.method ?? 'GET', keyOf(title));
  }
  for (const when of LEAVINGS) row[`the client gives up ${when}`] = await leave(kind, connect, target, when);
  return row;
}

type Row = Record<string, string>;

function expectedOf({ target }: Kind): Row {
  const row: Row = {};
  for (const [title, ending] of Object.entries(ENDINGS))
    if (target !== 'opaque' && ending[target] !== undefined)
      row[title] = typeof ending.seen === 'string' ? ending.seen : ending.seen[target];
  for (const when of LEAVINGS) row[`the client gives up ${when}`] = 'told';
  return row;
}

/** Raw bytes: what either side sees when the other ends properly, or breaks off. */
async function rawTableOf(
  kind: Kind,
  connect: () => Promise<net.Socket>,
  target: Awaited<ReturnType<typeof opaqueTarget>>,
): Promise<Row> {
  const row: Row = {};
  for (const how of ['fin', 'rst']) {
    const socket = await connect();
    const reader = new Reader1(socket);
    socket.write(how);
    await eventually('its end', () => reader.ended || reader.over, { everyMs: 3 });
    row[`the target's ${how}`] = `${reader.text}, ${reader.ended ? 'ended' : 'cut'}`;
    socket.destroy();
  }
  for (const how of ['fin', 'rst']) {
    // A reset cannot be said in TLS by a client of this runtime, and a missing alert is not told (ADR 0020).
    if (how === 'rst' && kind.way === 'mesh') continue;
    const socket = await connect();
    const reader = new Reader1(socket);
    socket.write('bytes');
    await eventually('an answer', () => reader.text === 'hello', { everyMs: 3 });
    if (how === 'fin') socket.end();
    else cut(socket);
    await eventually('the target is told', target.told, { everyMs: 3 });
    row[`the client's ${how}`] = target.last() === 'end' ? 'ended' : 'cut';
    socket.destroy();
  }
  return row;
}

function rawExpectedOf({ way }: Kind): Row {
  const row: Row = {
    "the target's fin": 'hello, ended',
    "the target's rst": 'hello, cut',
    "the client's fin": 'ended',
  };
  if (way !== 'mesh') row["the client's rst"] = 'cut';
  return row;
}

/**
 * Whoever stands between two that frame messages in their own ways decides where each ends: HTTP/1 by heads,
 * HTTP/2 by frames, raw bytes by the connection, and TLS and streams in between by neither. Reports of
 * proxies are full of cells of this table: half an answer that looks whole, a body that becomes the next
 * answer, a target that works for a client that is gone.
 */
for (const runtime of RUNTIMES)
  describe(`The table of how messages end, on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-ends-'));
    const targets = new Map<Kind, Target>();
    const rows = new Map<Kind, Promise<Row>>();
    const closing: (() => unknown)[] = [];

    before(async function () {
      const served = [];
      for (const kind of KINDS) {
        const start = { http1: http1Target, http2: http2Target, opaque: opaqueTarget }[kind.target];
        const target = await start();
        targets.set(kind, target);
        served.push({ name: nameOf(kind), ports: [target.port], protocol: kind.target });
      }
      const issuer = await createIssuer(await createAnchor({}), {});
      const gateway = await GatewayProcess.start({
        runtime,
        dir: path.join(dir, 'gateway'),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        targets: served,
        flags: ['--grace', '0'],
      });
      closing.push(() => gateway.kill());
      const mesh = new MeshClient({
        port: gateway.port,
        gatewayIdentity: 'gateway.west',
        identity: await issueLeaf(issuer, { identity: 'front.east' }),
      });
      closing.unshift(() => mesh.close());
      const egresses = new Map<Kind['way'], EgressProcess>();
      for (const way of ['streams', 'header'] as const) {
        const egress = await EgressProcess.start({
          runtime,
          dir: path.join(dir, way),
          identity: await issueLeaf(issuer, { identity: 'egress.east' }),
          gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: 'gateway.west' },
          services: KINDS.filter((kind) => kind.way === way).map((kind) =>
            kind.client === 'opaque'
              ? { name: nameOf(kind), protocol: 'opaque' as const }
              : { name: nameOf(kind) },
          ),
          streams: way === 'streams',
        });
        egresses.set(way, egress);
        closing.unshift(() => egress.kill());
      }
      for (const kind of KINDS) {
        const target = targets.get(kind);
        if (target === undefined) throw new Error('there is no such target');
        const connect = async (): Promise<net.Socket> => {
          const egress = egresses.get(kind.way);
          if (egress !== undefined) return egress.client.connect(nameOf(kind));
          return mesh.connect(nameOf(kind), 80, kind.client);
        };
        const row =
          kind.target === 'opaque'
            ? rawTableOf(kind, connect, target as Awaited<ReturnType<typeof opaqueTarget>>)
            : tableOf(kind, connect, target);
        // A row that fails is told of by its own test.
        row.catch(() => undefined);
        rows.set(kind, row);
      }
    });

    after(async () => {
      for (const close of closing) await close();
      for (const target of targets.values()) target.close();
      rmSync(dir, { recursive: true });
    });

    for (const kind of KINDS)
      it(`${WAYS[kind.way]}: ${kind.client} to ${kind.target}`, async () => {
        expect(await rows.get(kind)).to.deep.equal(
          kind.target === 'opaque' ? rawExpectedOf(kind) : expectedOf(kind),
        );
      });
  });

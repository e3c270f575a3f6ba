import { expect } from 'chai';
import { once } from 'node:events';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import { HeldClient } from '../../src/egress/clients/held-client.ts';
import { GatewayPool } from '../../src/egress/gateways/gateway-pool.ts';
import { StreamSession } from '../../src/gateway/acceptors/stream-session.ts';
import { SocketConnection } from '../../src/proxy/io/connection.ts';
import { PrivateConnection } from '../../src/proxy/upstream/private-connection.ts';
import { Http1Session } from '../../src/proxy/downstream/http1-session.ts';
import { TranslatedExchange } from '../../src/proxy/downstream/http1-translated.ts';
import { Http1Upstream } from '../../src/proxy/upstream/http1-request.ts';
import { Http2Connection } from '../../src/proxy/http2/http2-connection.ts';
import { Http2Exchange } from '../../src/proxy/downstream/http2-exchange.ts';
import { Http2Pool } from '../../src/proxy/upstream/http2-pool.ts';
import { Http2Session } from '../../src/proxy/downstream/http2-session.ts';
import { Http2Upstream } from '../../src/proxy/upstream/http2-request.ts';
import { OpaqueFlow } from '../../src/proxy/downstream/opaque-flow.ts';
import { RetryingRequest } from '../../src/proxy/upstream/retry/retrying-request.ts';
import { Attempt } from '../../src/proxy/upstream/retry/attempt.ts';
import { StreamConnection } from '../../src/proxy/streams/stream-connection.ts';
import { UndecidedFlow } from '../../src/proxy/downstream/undecided-flow.ts';
import { captureLog } from '../support/captured-log.ts';
import { eventually } from '../support/eventually.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import type { ClientKind, ServiceClient } from '../support/service-client.ts';

const MARK = 'a mistake nobody foresaw';
/** For a flow to come to an end of its own; and for a handler to hear of a client that has left. */
const STORY_MS = 8000;
const LEFT_MS = 300;
const BIG = 3 * 1024 * 1024;

type Prototype = Record<string, unknown>;

/** Whatever hears of connections, streams, requests and their ends. */
const PARTS: readonly (abstract new (...args: never[]) => object)[] = [
  Http1Session,
  Http1Upstream,
  PrivateConnection,
  TranslatedExchange,
  Http2Session,
  Http2Connection,
  Http2Exchange,
  Http2Upstream,
  Http2Pool,
  Attempt,
  RetryingRequest,
  OpaqueFlow,
  UndecidedFlow,
  StreamConnection,
  StreamSession,
  GatewayPool,
  HeldClient,
];
/** What the stories below have called at least, of each way; those of age, drain and signing in are in tests of their own. */
const LEAST = 40;
/** What says that all is over is thrown in when it has been heard: nothing comes after it that could end a flow. */
const LAST_WORD = /\.on(Close|Closed|StreamClosed|Reset|Failure|TryFailure)$/;

const handlersOf = (prototype: Prototype) =>
  Object.getOwnPropertyNames(prototype).filter((name) => /^on[A-Z]/.test(name));
const prototypeOf = (part: (typeof PARTS)[number]) => part.prototype as Prototype;

/**
 * The table of `internal-errors.test.ts` has what each flow hears. This has every handler that there is, also of classes that come later: wherever an
 * exception is thrown, its flow ends, it is counted, and the process and the others go on.
 */
for (const way of ['a gateway', 'an egress and a gateway'] as const)
  describe(`An exception in any handler of ${way}`, () => {
    const origins: Origin[] = [];
    const captured = captureLog();
    const reached = new Set<string>();
    let relay: Relay;
    let client: ServiceClient;
    let stays: ServiceClient;

    before(async () => {
      origins.push(await http1Origin(), await http2Origin(), await rawOrigin());
      const at = (name: string, port: number, said: Partial<TargetSpec> = {}): TargetSpec => ({
        name,
        port: 80,
        endpoints: [{ host: '127.0.0.1', port, ready: true }],
        ...said,
      });
      const [one, two, three] = origins.map(({ port }) => port);
      const requests = {
        retry: { limit: 1, statuses: [{ min: 503, max: 503 }], grpc: [] },
        timeouts: { requestMs: 5000 },
      };
      const specs = [
        at('one', one ?? 0, { protocol: 'http1' }),
        at('two', two ?? 0, { protocol: 'http2' }),
        at('tried1', one ?? 0, { protocol: 'http1', requests }),
        at('tried2', two ?? 0, { protocol: 'http2', requests }),
        at('dead', 1, { protocol: 'http1' }),
        at('raw', three ?? 0),
      ];
      relay = await startRelay({
        specs,
        services: specs.map(({ name }) => ({ name })),
        gateway: { log: captured.log, internalErrorLines: Infinity },
        egress: { internalErrorLines: Infinity },
      });
      stays = await relay.local.clientOf('stays.east');
    });
    beforeEach(async () => {
      client = way === 'a gateway' ? await relay.local.clientOf('front.east') : relay.clientAt('127.0.0.2');
    });
    afterEach(() => client.close());
    after(async () => {
      await relay.close();
      for (const origin of origins) origin.close();
    });

    const counted = () => relay.local.gateway.counters.internalErrors + relay.egress.counters.internalErrors;

    /** One request; what becomes of it does not matter here, as long as it comes to an end and tells nothing. @returns its status */
    async function request(
      kind: ClientKind,
      name: string,
      path = '/echo',
      body = 'one two',
    ): Promise<number> {
      const asked = {
        method: 'POST',
        path,
        body: [Buffer.from(body.slice(0, 3)), Buffer.from(body.slice(3))],
      };
      try {
        const gone =
          kind === 'http1'
            ? []
            : [
                client
                  .session(name)
                  .then((session) => once(session, 'close').then(() => Promise.reject(new Error('gone')))),
              ];
        const { status, body: said } = await Promise.race([client.request(kind, name, asked), ...gone]);
        expect(said.includes(MARK)).to.equal(false);
        return status;
      } catch (error) {
        expect(String(error)).not.to.contain(MARK);
        return 0;
      }
    }

    /** Raw bytes, given back. @returns whether all have come */
    async function echo(bytes = 100): Promise<boolean> {
      const socket = await client.connect('raw', 80, 'opaque').catch(() => undefined);
      if (socket === undefined) return false;
      let came = 0;
      let over = false;
      socket.on('error', () => undefined);
      for (const end of ['end', 'close']) socket.once(end, () => (over = true));
      // Not read at first, so that everything on the way fills up.
      if (bytes <= 100) socket.on('data', (chunk: Buffer) => (came += chunk.length));
      else setTimeout(() => socket.on('data', (chunk: Buffer) => (came += chunk.length)), 50);
      socket.end(Buffer.alloc(bytes, 'x'));
      await eventually('an end, or all of it', () => over || came === bytes, { timeoutMs: STORY_MS });
      socket.destroy();
      return came === bytes;
    }

    async function leave(kind: 'http1' | 'http2' | 'raw', fired: () => boolean): Promise<void> {
      if (kind === 'http2') {
        const stream = (await client.session('two')).request({ ':method': 'POST', ':path': '/echo' });
        stream.on('error', () => undefined);
        stream.write('half');
        await Promise.race([once(stream, 'response'), once(stream, 'close')]).catch(() => undefined);
        stream.close(8);
      } else {
        const socket = await client.connect(
          kind === 'raw' ? 'raw' : 'one',
          80,
          kind === 'raw' ? 'opaque' : 'http1',
        );
        socket.on('error', () => undefined);
        socket.write(
          kind === 'raw' ? 'half' : 'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf',
        );
        await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => undefined);
        socket.destroy();
      }
      await eventually('it is heard of', fired, { timeoutMs: LEFT_MS }).catch(() => undefined);
    }

    const HTTP: readonly ClientKind[] = ['http1', 'http2'];
    const stories: readonly ((fired: () => boolean) => Promise<unknown>)[] = [
      ...HTTP.flatMap((kind) => ['one', 'two', 'tried1', 'tried2'].map((name) => () => request(kind, name))),
      () => echo(),
      ...HTTP.flatMap((kind) =>
        ['one', 'two', 'tried1', 'tried2'].flatMap((name) => [
          () => request(kind, name, '/hints'),
          () => request(kind, name, '/cut'),
          () => request(kind, name, '/status/503'),
        ]),
      ),
      ...HTTP.map((kind) => () => request(kind, 'dead')),
      ...(['http1', 'http2', 'raw'] as const).map((kind) => (fired: () => boolean) => leave(kind, fired)),
      ...HTTP.flatMap((kind) =>
        ['one', 'two'].map((name) => () => request(kind, name, '/echo', 'x'.repeat(BIG))),
      ),
      () => echo(BIG),
    ];

    /** Which story is the first to call each handler. */
    const firstOf = new Map<Prototype, Map<string, number>>();

    /** Notes who is called, until it is put back. */
    function record(prototype: Prototype, story: () => number): () => void {
      const first = new Map<string, number>();
      firstOf.set(prototype, first);
      const undo = handlersOf(prototype).map((method) => {
        const own = Object.getOwnPropertyDescriptor(prototype, method) ?? {};
        const original = own.value as (...args: unknown[]) => unknown;
        const noted = function (this: unknown, ...args: unknown[]): unknown {
          if (!first.has(method)) first.set(method, story());
          return original.apply(this, args);
        };
        Object.defineProperty(prototype, method, { ...own, value: noted });
        return () => Object.defineProperty(prototype, method, own);
      });
      return () => undo.forEach((one) => one());
    }

    before(async function () {
      this.timeout(60_000);
      client = way === 'a gateway' ? await relay.local.clientOf('first.east') : relay.clientAt('127.0.0.3');
      // Classes that are not exported are seen at connections.
      // oxlint-disable-next-line typescript/unbound-method -- called with its own `this`, and put back
      const { flushContained } = SocketConnection.prototype;
      const seen = new Set<Prototype>(PARTS.map(prototypeOf));
      SocketConnection.prototype.flushContained = function () {
        seen.add(Object.getPrototypeOf(this.handler) as Prototype);
        flushContained.call(this);
      };
      for (const story of stories.slice(0, 9)) await story(() => true);
      SocketConnection.prototype.flushContained = flushContained;
      seen.delete(Object.prototype as unknown as Prototype);
      let nth = 0;
      const undo = [...seen].map((prototype) => record(prototype, () => nth));
      for (; nth < stories.length; nth++) await stories[nth]?.(() => false);
      for (const one of undo) one();
      client.close();
    });

    /** Makes a handler throw once, in the story that calls it. */
    async function tryHandler(prototype: Prototype, method: string, story: number): Promise<void> {
      const name = `${(prototype.constructor as { name: string }).name}.${method}`;
      // One that has nothing to do with it.
      const beside = await stays.connect('raw', 80, 'opaque');
      beside.write('here');
      await once(beside, 'data');
      const own = Object.getOwnPropertyDescriptor(prototype, method) ?? {};
      const original = own.value as (...args: unknown[]) => unknown;
      let fired = false;
      const disarm = () => Object.defineProperty(prototype, method, own);
      const before = counted();
      const armed = function (this: unknown, ...args: unknown[]): never {
        fired = true;
        disarm();
        if (LAST_WORD.test(name)) original.apply(this, args);
        throw new TypeError(MARK);
      };
      Object.defineProperty(prototype, method, { ...own, value: armed });
      try {
        await stories[story]?.(() => fired);
      } finally {
        disarm();
      }
      // Another turn of events may call others.
      if (fired) {
        reached.add(name);
        await eventually(`${name}: it is counted`, () => counted() > before);
        expect(counted() - before, `${name}: counted`).to.equal(1);
      }
      beside.write('still');
      const [still] = (await once(beside, 'data')) as [Buffer];
      expect(still.toString(), name).to.equal('still');
      beside.destroy();
      expect(await request('http1', 'one'), `${name}: the next of HTTP/1`).to.equal(200);
      expect(await request('http2', 'two'), `${name}: the next of HTTP/2`).to.equal(200);
      expect(await echo(), `${name}: the next bytes`).to.equal(true);
    }

    it('ends its flow, is counted, and harms nobody else', async () => {
      for (const [prototype, first] of firstOf)
        for (const [method, story] of first) await tryHandler(prototype, method, story);
      expect(reached.size, [...reached].join(' ')).to.be.at.least(LEAST);
      expect([...reached].join(' ')).to.match(/\bTunnel\.onData\b/);
    }).timeout(120_000);
  });

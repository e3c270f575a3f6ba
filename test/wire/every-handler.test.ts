import { expect } from 'chai';
import { once } from 'node:events';
import type { ClientHttp2Session } from 'node:http2';
import net from 'node:net';
import tls from 'node:tls';
import { STREAMS_ALPN } from '../../src/api/names.ts';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { issueLeaf } from '../../src/identity/authority/issue.ts';
import { PendingConnection } from '../../src/egress/clients/pending-connection.ts';
import { Trunks } from '../../src/egress/gateways/trunks.ts';
import { StreamSession } from '../../src/gateway/acceptors/stream-session.ts';
import { SocketConnection } from '../../src/proxy/io/socket-connection.ts';
import { PrivateConnection } from '../../src/proxy/upstream/private-connection.ts';
import { Http1Forwarder } from '../../src/proxy/downstream/http1-forwarder.ts';
import { Http1Session } from '../../src/proxy/downstream/http1-session.ts';
import { TranslatedExchange } from '../../src/proxy/downstream/http1-translated.ts';
import { Http1Upstream } from '../../src/proxy/upstream/http1-request.ts';
import { FrameType, goAwayFrame, numberFrame, Setting } from '../../src/proxy/http2/frames.ts';
import { Http2Connection } from '../../src/proxy/http2/http2-connection.ts';
import { Http2Exchange } from '../../src/proxy/downstream/http2-exchange.ts';
import { Http2Pool } from '../../src/proxy/upstream/http2-pool.ts';
import { Http2Session } from '../../src/proxy/downstream/http2-session.ts';
import { Http2Upstream } from '../../src/proxy/upstream/http2-request.ts';
import { OpaqueFlow } from '../../src/proxy/downstream/opaque-flow.ts';
import { RetryingRequest } from '../../src/proxy/upstream/retry/retrying-request.ts';
import { Attempt } from '../../src/proxy/upstream/retry/attempt.ts';
import { StreamConnection } from '../../src/proxy/streams/stream-connection.ts';
import { DialledTunnel } from '../../src/proxy/streams/dialled-tunnel.ts';
import { GroupLease } from '../../src/proxy/group/group-lease.ts';
import { GroupRequest } from '../../src/proxy/group/group-request.ts';
import { ChangedResponse, PassingHandler } from '../../src/proxy/routing/handlers.ts';
import { serviceRouting } from '../../src/policy/routing/service-routing.ts';
import { UndecidedFlow } from '../../src/proxy/downstream/undecided-flow.ts';
import { captureLog } from '../support/captured-log.ts';
import { eventually } from '../support/eventually.ts';
import { ListedClients, pod } from '../support/listed-clients.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { type LocalGateway, localGateway } from '../support/local-gateway.ts';
import { RawHttp2 } from '../support/raw-http2.ts';
import { routeOf, routingFacts } from '../support/routing-facts.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { MeshClient } from '../support/mesh-client.ts';
import type { ClientKind, ServiceClient } from '../support/service-client.ts';
import { signingOrigin } from '../support/signing-origin.ts';

const MARK = 'a mistake nobody foresaw';
/** For a flow to come to an end of its own; and for a handler to hear of a client that has left. */
const STORY_MS = 8000;
const LEFT_MS = 300;
const BIG = 3 * 1024 * 1024;

type Prototype = Record<string, unknown>;

/** Whatever hears of connections, streams, requests and their ends. */
const PARTS: readonly (abstract new (...args: never[]) => object)[] = [
  Http1Session,
  Http1Forwarder,
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
  Trunks,
  PendingConnection,
  DialledTunnel,
  GroupRequest,
  GroupLease,
  PassingHandler,
  ChangedResponse,
];
/**
 * What the stories below have called at least, of each way; those of age and drain are in tests of their own.
 */
const LEAST = 55;
/**
 * Of those, what hardly more than one story calls. Not called by anybody who is on the wire: `onDrain` of who
 * has sent nothing, what both ends of HTTP/2 share and only the other hears, and `onCaught`, which is where
 * these exceptions go.
 */
const ALSO = {
  'a gateway': ['OpaqueFlow.onClose', 'Http1Forwarder.onDrain'],
  'an egress and a gateway': [
    'UndecidedFlow.onData',
    'UndecidedFlow.onEnd',
    'UndecidedFlow.onClose',
    'Trunks.onSettings',
    'Trunks.onGoAway',
    'Trunks.onClosed',
    'DialledTunnel.onHead',
    'DialledTunnel.onSent',
    'GroupRequest.onAttemptInterim',
    'GroupRequest.onAttemptResponse',
    'GroupRequest.onAttemptBody',
    'GroupRequest.onAttemptEnd',
    'GroupRequest.onAttemptFailure',
    'GroupLease.onTaken',
    'GroupLease.onRefused',
  ],
  both: [
    'PassingHandler.onInterimResponse',
    'PassingHandler.onResponse',
    'PassingHandler.onResponseBody',
    'PassingHandler.onResponseEnd',
    'PassingHandler.onFailure',
    'ChangedResponse.onResponse',
    'PrivateConnection.onData',
    'PrivateConnection.onEnd',
    'PrivateConnection.onClose',
    'PendingConnection.onClose',
    'StreamSession.onTooLarge',
    'StreamSession.onGoAway',
    'StreamSession.onClosed',
    'Http2Session.onTooLarge',
    'Http2Session.onGoAway',
    'Http2Session.onClosed',
    'Http2Pool.onGoAway',
    'Http2Pool.onClosed',
    'Http2Connection.onDrain',
    'Http2Connection.onEnd',
    'Http2Connection.onClose',
    'Http1Session.onDrain',
    'Http1Upstream.onDrain',
    'TranslatedExchange.onClientDrain',
    'Tunnel.onData',
    'Tunnel.onDrain',
  ],
};
/** Services that lead to two clusters: which origin serves them, and what they say. */
const GROUPS: readonly (readonly [name: string, origin: number, said: Partial<TargetSpec>])[] = [
  ['group1', 0, { protocol: 'http1' }],
  ['group2', 1, { protocol: 'http2' }],
  ['group-raw', 2, { protocol: 'opaque' }],
  ['group-none', 2, { protocol: 'opaque', endpoints: [] }],
];
/** A route that changes what comes back. */
function changedBy(leaf: TargetSpec): Pick<TargetSpec, 'routed'> {
  const responseHeaderModifier = { set: [{ name: 'x-changed', value: 'yes' }] };
  const rule = {
    filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier }],
    backendRefs: [{ name: 'one', port: 80 }],
  };
  const { routing } = serviceRouting(routingFacts({ routes: [routeOf({ rules: [rule] })] }));
  return routing === undefined ? {} : { routed: { routing, leaves: { 'demo/one:80': leaf } } };
}
/** Addresses of plain clients: whom the egress knows, and whom it has yet to hear of. */
const KNOWN = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
const UNKNOWN = '127.0.0.9';
/** Fields that are too large, though not on the wire: the same one again and again. */
const LONG = Array.from({ length: 50 }, () => ['x-long', 'a'.repeat(1500)] as const);

/**
 * What says that all is over is thrown in when it has been heard: nothing comes after it that could end a
 * flow.
 */
const LAST_WORD = /\.on(Close|Closed|StreamClosed|Reset|Failure|TryFailure|AttemptFailure)$/;

const handlersOf = (prototype: Prototype) =>
  Object.getOwnPropertyNames(prototype).filter((name) => /^on[A-Z]/.test(name));
const prototypeOf = (part: (typeof PARTS)[number]) => part.prototype as Prototype;

/**
 * The table of `internal-errors.test.ts` has what each flow hears. This has every handler that there is, also
 * of classes that come later: wherever an exception is thrown, its flow ends, it is counted, and the process
 * and the others go on.
 */
for (const way of ['a gateway', 'an egress and a gateway'] as const)
  describe(`An exception in any handler of ${way}`, () => {
    const origins: Origin[] = [];
    const pods = new ListedClients(Object.fromEntries(KNOWN.map((at) => [at, [pod('shop', 'web')]])));
    let signing: Awaited<ReturnType<typeof signingOrigin>>;
    const captured = captureLog();
    const reached = new Set<string>();
    let relay: Relay;
    let client: ServiceClient;
    let stays: ServiceClient;
    let specs: readonly TargetSpec[];
    /** Of an egress that is none of ours. */
    let foreign: Identity;
    /** Gateways that came and went in a story. */
    const others: LocalGateway[] = [];

    before(async () => {
      origins.push(await http1Origin(), await http2Origin(), await rawOrigin());
      signing = await signingOrigin();
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
      specs = [
        at('one', one ?? 0, { protocol: 'http1' }),
        at('two', two ?? 0, { protocol: 'http2' }),
        at('tried1', one ?? 0, { protocol: 'http1', requests }),
        at('tried2', two ?? 0, { protocol: 'http2', requests }),
        at('dead', 1, { protocol: 'http1' }),
        at('raw', three ?? 0),
        at('unready', 1, { endpoints: [{ host: '127.0.0.1', port: 1, ready: false }] }),
        at('signed', signing.port, { protocol: 'http1' }),
        at('held', one ?? 0),
        ...GROUPS.map(([name, nth, protocol]) => at(name, origins[nth]?.port ?? 0, protocol)),
        at('changed', 1, {
          protocol: 'http1',
          ...changedBy(at('one', one ?? 0, { protocol: 'http1' })),
        }),
      ];
      const services = specs.map(({ name }) =>
        name === 'held' ? { name, namespace: 'mine', allowedNamespaces: ['shop'] } : { name },
      );
      relay = await startRelay({
        specs,
        services,
        gateway: { log: captured.log, internalErrorLines: Infinity },
        egress: { internalErrorLines: Infinity, clients: pods },
      });
      const west = { addresses: ['127.0.0.1'], port: relay.local.port, identity: 'gateway.west' };
      const isGroup = (name: string) => GROUPS.some(([group]) => group === name);
      relay.say(
        services.map((said) => (isGroup(said.name) ? { ...said, members: { west, south: west } } : said)),
      );
      foreign = await issueLeaf(relay.local.issuer, { identity: 'egress.south' });
      stays = await relay.local.clientOf('stays.east');
    });
    beforeEach(async () => {
      client = way === 'a gateway' ? await relay.local.clientOf('front.east') : relay.clientAt('127.0.0.2');
    });
    afterEach(() => client.close());
    after(async () => {
      await relay.close();
      for (const origin of [...origins, signing]) origin.close();
    });

    const counted = () =>
      [relay.local.gateway, relay.egress, ...others.map(({ gateway }) => gateway)].reduce(
        (sum, { counters }) => sum + counters.internalErrors,
        0,
      );

    /**
     * One request; what becomes of it does not matter here, as long as it comes to an end and tells nothing.
     * @returns its status
     */
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
    async function echo(bytes = 100, name = 'raw'): Promise<boolean> {
      const socket = await client.connect(name, 80, 'opaque').catch(() => undefined);
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

    /** Time for what a story has thrown in to be met; which handlers have to be met is asked at the end. */
    const heard = (fired: () => boolean) =>
      eventually('it is heard of', fired, { timeoutMs: LEFT_MS }).catch(() => undefined);

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
      await heard(fired);
    }

    /** Signs in, and has the target do something to the connection that is the client's own now. */
    async function signIn(then: (own: net.Socket) => void, fired: () => boolean): Promise<void> {
      const socket = await client.connect('signed', 80, 'http1');
      let said = '';
      let over = false;
      socket.on('error', () => undefined);
      for (const end of ['end', 'close']) socket.once(end, () => (over = true));
      socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
      socket.write('GET / HTTP/1.1\r\nhost: x\r\nauthorization: NTLM hello\r\n\r\n');
      const signed = () => said.endsWith('nobody');
      // An answer of 500 need not end the client's connection.
      const failed = () => over || /^HTTP\/1.1 5.*\n$/s.test(said);
      await eventually('an answer, or an end', () => failed() || signed(), { timeoutMs: STORY_MS });
      if (!failed()) then(signing.last());
      await heard(fired);
      socket.destroy();
    }

    /** Ends an HTTP/2 connection that has been of use. */
    async function endSession(
      then: (session: ClientHttp2Session) => void,
      fired: () => boolean,
    ): Promise<void> {
      await request('http2', 'two', '/hello');
      then(await client.session('two'));
      await heard(fired);
    }

    /** A client that the egress waits to hear of goes meanwhile. */
    async function leaveHeld(fired: () => boolean): Promise<void> {
      const guest = relay.clientAt(UNKNOWN);
      const socket = await guest.connect('held');
      await eventually('it is waited for', () => pods.waiting(UNKNOWN) > 0, { timeoutMs: STORY_MS });
      socket.resetAndDestroy();
      await heard(fired);
      guest.close();
    }

    /** Connects for raw bytes and says nothing, before it does something. */
    async function wait(
      name: string,
      then: (socket: net.Socket, below: net.Socket) => void,
      fired: () => boolean,
    ): Promise<void> {
      const tcp = client instanceof MeshClient ? net.connect(relay.local.port, '127.0.0.1') : undefined;
      const socket =
        client instanceof MeshClient
          ? await client.connect(name, 80, 'opaque', tcp)
          : await client.connect(name, 80, 'opaque');
      socket.on('error', () => undefined);
      socket.resume();
      await heard(fired);
      then(socket, tcp ?? socket);
      await heard(fired);
      socket.destroy();
    }

    /** More fields than we take, which cost their sender little. */
    async function askTooMuch(fired: () => boolean): Promise<void> {
      const raw = new RawHttp2(await client.connect('two', 80, 'http2'));
      raw.send(raw.head(1, true, RawHttp2.get(LONG)));
      const over = () => raw.closed || raw.heard.some((line) => /^(HEADERS|RST) 1/.test(line));
      await eventually('an answer, or an end', over, { timeoutMs: STORY_MS });
      raw.socket.destroy();
      await heard(fired);
    }

    /** A connection of stream mode, as an egress has it. */
    async function streams(then: (raw: RawHttp2) => Promise<void>, fired: () => boolean): Promise<void> {
      const { cert, key, ca } = foreign;
      const socket = tls.connect({
        host: '127.0.0.1',
        port: relay.local.port,
        servername: 'gateway.west',
        cert,
        key,
        ca,
        ALPNProtocols: [STREAMS_ALPN],
        checkServerIdentity: () => undefined,
      });
      const raw = new RawHttp2(socket);
      await raw.hears(/^SETTINGS ack/);
      await then(raw);
      await heard(fired);
      raw.socket.destroy();
      await heard(fired);
    }

    async function askTooMuchInStream(raw: RawHttp2): Promise<void> {
      raw.send(raw.head(1, true, RawHttp2.get(LONG)));
      const over = () => raw.closed || raw.heard.some((line) => /^(HEADERS|RST) 1/.test(line));
      await eventually('an answer, or an end', over, { timeoutMs: STORY_MS });
    }

    /** Goes through a gateway of its own, which is shut down then. */
    async function stopGateway(fired: () => boolean): Promise<void> {
      const { identity, port } = relay.local;
      const other = await localGateway(specs, {
        identity,
        log: captured.log,
        internalErrorLines: Infinity,
        graceMs: 500,
      });
      others.push(other);
      relay.route({ addresses: ['127.0.0.1'], port: other.port, identity: 'gateway.west' });
      try {
        await echo();
        await other.close();
        await heard(fired);
      } finally {
        relay.route({ addresses: ['127.0.0.1'], port, identity: 'gateway.west' });
      }
    }

    /** Asks for much and reads nothing of it at first, so that everything on the way fills up. */
    async function readLate(kind: 'http1' | 'http2', name: string, fired: () => boolean): Promise<void> {
      const socket = await client.connect(name, 80, kind);
      socket.on('error', () => undefined);
      let over = false;
      let came = 0;
      for (const end of ['end', 'close']) socket.once(end, () => (over = true));
      if (kind === 'http1') {
        socket.pause().write(`GET /bytes/${2 * BIG} HTTP/1.1\r\nhost: x\r\n\r\n`);
      } else {
        // Windows in which all of it fits.
        const raw = new RawHttp2(socket, [[Setting.INITIAL_WINDOW_SIZE, 4 * BIG]]);
        const fields = [
          [':method', 'GET'],
          [':scheme', 'http'],
          [':path', `/bytes/${2 * BIG}`],
          [':authority', 'x'],
        ] as const;
        raw.send(raw.head(1, true, fields), numberFrame(FrameType.WINDOW_UPDATE, 0, 4 * BIG));
        socket.pause();
      }
      await heard(fired);
      socket.on('data', (chunk: Buffer) => (came += chunk.length)).resume();
      await eventually('an end, or all of it', () => over || came >= 2 * BIG, { timeoutMs: STORY_MS });
      socket.destroy();
    }

    const HTTP: readonly ClientKind[] = ['http1', 'http2'];
    const grouped: readonly ((fired: () => boolean) => Promise<unknown>)[] = [
      ...HTTP.flatMap((kind) =>
        ['group1', 'group2'].flatMap((name) =>
          ['/echo', '/hints', '/cut'].map((path) => () => request(kind, name, path)),
        ),
      ),
      () => echo(100, 'group-raw'),
      () => echo(BIG, 'group-raw'),
      (fired) => wait('group-raw', (_, below) => below.resetAndDestroy(), fired),
      (fired) => wait('group-none', (socket) => socket.write('early'), fired),
    ];
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
      askTooMuch,
      ...['one', 'two'].flatMap((name) => [
        (fired: () => boolean) => readLate('http1', name, fired),
        (fired: () => boolean) => readLate('http2', name, fired),
      ]),
      () => request('http2', 'two', '/away'),
      (fired) => endSession((session) => session.close(), fired),
      (fired) => endSession((session) => session.destroy(), fired),
      (fired) => signIn((own) => own.end(), fired),
      (fired) => signIn((own) => own.write('unasked'), fired),
      (fired) => signIn((own) => own.resetAndDestroy(), fired),
      leaveHeld,
      (fired) => wait('unready', (_, below) => below.resetAndDestroy(), fired),
      (fired) => wait('raw', (socket) => socket.end(), fired),
      (fired) => wait('raw', (_, below) => below.resetAndDestroy(), fired),
      (fired) => wait('raw', (socket) => socket.write('late'), fired),
      (fired) => streams(askTooMuchInStream, fired),
      (fired) => streams((raw) => Promise.resolve(raw.send(goAwayFrame(0, 0, 'leaving'))), fired),
      ...(way === 'a gateway' ? [] : [stopGateway, ...grouped]),
      ...['/echo', '/hints', '/cut'].flatMap((path) =>
        HTTP.map((kind) => () => request(kind, 'changed', path)),
      ),
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

    const nameOf = (prototype: Prototype, method: string) =>
      `${(prototype.constructor as { name: string }).name}.${method}`;

    /** Makes a handler throw once, in the story that calls it. */
    async function tryHandler(prototype: Prototype, method: string, story: number): Promise<void> {
      const name = nameOf(prototype, method);
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
      // Which story calls a handler is a matter of what is read together: where the process stood still, it
      // may have been another one.
      const unreached = () => [...ALSO.both, ...ALSO[way]].filter((name) => !reached.has(name));
      for (const [prototype, first] of firstOf)
        for (const [method] of first)
          for (
            let story = 0;
            story < stories.length && unreached().includes(nameOf(prototype, method));
            story++
          )
            await tryHandler(prototype, method, story);
      expect(reached.size, [...reached].join(' ')).to.be.at.least(LEAST);
      expect(unreached()).to.deep.equal([]);
    });
  });

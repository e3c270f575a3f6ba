import { expect } from 'chai';
import { once } from 'node:events';
import type http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import { RouteClients } from '../../src/egress/clients/route-clients.ts';
import { GatewayConnections } from '../../src/egress/gateways/gateway-connections.ts';
import { GatewayPool } from '../../src/egress/gateways/gateway-pool.ts';
import { HeaderAcceptor } from '../../src/gateway/acceptors/header-acceptor.ts';
import type { PolicySource } from '../../src/gateway/authorization/policy-source.ts';
import { NO_POLICIES } from '../../src/gateway/authorization/policy-source.ts';
import { StreamSession } from '../../src/gateway/acceptors/stream-session.ts';
import { ProxyCounters } from '../../src/proxy/metrics/counters.ts';
import { TargetCounters } from '../../src/proxy/metrics/target-counters.ts';
import { Balancer } from '../../src/proxy/upstream/balancer/balancer.ts';
import { RequestFilter } from '../../src/proxy/filters/request-filter.ts';
import { BodyReader } from '../../src/proxy/http1/body.ts';
import { Http1Forwarder } from '../../src/proxy/downstream/http1-forwarder.ts';
import { Http1Session } from '../../src/proxy/downstream/http1-session.ts';
import { TranslatedExchange } from '../../src/proxy/downstream/http1-translated.ts';
import { PickedEndpoint } from '../../src/proxy/upstream/balancer/endpoint.ts';
import { Http1Upstream } from '../../src/proxy/upstream/http1-request.ts';
import { Http2Exchange } from '../../src/proxy/downstream/http2-exchange.ts';
import { Http2Pool } from '../../src/proxy/upstream/http2-pool.ts';
import { Http2Upstream } from '../../src/proxy/upstream/http2-request.ts';
import { Http1Pool } from '../../src/proxy/upstream/http1-pool.ts';
import { OpaqueFlow } from '../../src/proxy/downstream/opaque-flow.ts';
import { RetryingRequest } from '../../src/proxy/upstream/retry/retrying-request.ts';
import { Attempt } from '../../src/proxy/upstream/retry/attempt.ts';
import { ServedTunnel } from '../../src/proxy/streams/served-tunnel.ts';
import { Target } from '../../src/proxy/upstream/target.ts';
import { UndecidedFlow } from '../../src/proxy/downstream/undecided-flow.ts';
import { captureLog, type LogLine } from '../support/captured-log.ts';
import { eventually } from '../support/eventually.ts';
import { flowsEnded } from '../support/flows-ended.ts';
import { GRPC_FIELDS } from '../support/grpc.ts';
import { grpcOrigin, http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import type { ServiceClient } from '../support/service-client.ts';

const MARK = 'a mistake nobody foresaw';
const TEXT = 'internal error of the proxy; its log says which\n';

/** What the client does. `to2`: HTTP/1 to a service that speaks HTTP/2; `tried`: to one with retries. */
type Kind = 'http1' | 'to2' | 'tried1' | 'http2' | 'to1' | 'tried2' | 'grpc' | 'raw';
/**
 * What it hears: an answer in the target's stead, a connection or stream that breaks off, or all, because
 * only who watched has failed.
 */
type Heard = 'answer' | 'cut' | 'whole';
/** Where the exception is thrown, from the method of that name, once. */
type Row = readonly [part: object, method: string, kinds: readonly Kind[], heard: Heard];

const HTTP1: readonly Kind[] = ['http1', 'to2', 'tried1'];
const HTTP2: readonly Kind[] = ['http2', 'to1', 'tried2', 'grpc'];
const RAW: readonly Kind[] = ['raw'];
const HTTP = [...HTTP1, ...HTTP2];
const ANY = [...HTTP, ...RAW];
/**
 * Before it is known what is spoken. (Node's HTTP/2 client does not notice that a connection of half-closes
 * has ended.)
 */
const ENTRY = [...HTTP1, ...RAW];

/** What a gateway is asked through directly, as Linkerd's proxies do. */
const watcher = { wants: () => true, record: () => undefined };
const policies: PolicySource = { ...NO_POLICIES, verdict: (...asked) => NO_POLICIES.verdict(...asked) };
const AT_GATEWAY: readonly Row[] = [
  [policies, 'verdict', HTTP, 'answer'],
  [policies, 'verdict', RAW, 'cut'],
  [watcher, 'wants', ANY, 'whole'],
  [watcher, 'record', ANY, 'whole'],
  [ProxyCounters, 'authorization', HTTP, 'answer'],
  [ProxyCounters, 'authorization', RAW, 'cut'],
  [TargetCounters, 'begin', HTTP, 'answer'],
  [TargetCounters, 'begin', RAW, 'cut'],
  [TargetCounters, 'answered', HTTP, 'answer'],
  [ProxyCounters, 'header', ENTRY, 'cut'],
  [HeaderAcceptor, 'admit', ENTRY, 'cut'],
  [RequestFilter, 'pass', HTTP, 'answer'],
  [RequestFilter, 'pass', RAW, 'cut'],
  [Balancer, 'pick', HTTP, 'answer'],
  [Balancer, 'pick', RAW, 'cut'],
  [Target, 'leaseNow', ['http1'], 'answer'],
  [Target, 'lease', ['http1'], 'answer'],
  [Target, 'lease', RAW, 'cut'],
  [Target, 'open', ['to2', 'tried1', 'to1', 'http2', 'grpc'], 'answer'],
  [Target, 'openNow', HTTP2, 'answer'],
  [Target, 'openAttempt', ['tried1', 'tried2'], 'answer'],
  [PickedEndpoint, 'connected', HTTP, 'answer'],
  [PickedEndpoint, 'accepted', RAW, 'cut'],
  [Http1Session, 'onData', HTTP1, 'cut'],
  [Http1Forwarder, 'onData', ['http1'], 'answer'],
  [BodyReader, 'take', HTTP1, 'answer'],
  [TranslatedExchange, 'onResponse', ['to2', 'tried1'], 'answer'],
  [TranslatedExchange, 'onResponseBody', ['to2', 'tried1'], 'cut'],
  [TranslatedExchange, 'onResponseEnd', ['to2', 'tried1'], 'cut'],
  [Http1Upstream, 'start', ['to1', 'tried1'], 'answer'],
  [Http1Upstream, 'write', ['to1', 'tried1'], 'answer'],
  [Http1Upstream, 'onData', ['to1', 'tried1'], 'answer'],
  [Http1Upstream, 'onBodyBytes', ['to1', 'tried1'], 'cut'],
  [Http2Upstream, 'start', ['to2', 'http2', 'tried2', 'grpc'], 'answer'],
  [Http2Upstream, 'write', ['to2', 'http2', 'tried2', 'grpc'], 'answer'],
  [Http2Upstream, 'onHead', ['to2', 'http2', 'tried2', 'grpc'], 'answer'],
  [Http2Upstream, 'onData', ['to2', 'http2', 'tried2', 'grpc'], 'cut'],
  [Http2Upstream, 'onEnd', ['to2', 'http2', 'tried2', 'grpc'], 'cut'],
  [Http2Pool, 'connection', ['to2'], 'answer'],
  [Http2Exchange, 'begin', HTTP2, 'answer'],
  [Http2Exchange, 'onData', HTTP2, 'answer'],
  [Http2Exchange, 'onEnd', HTTP2, 'answer'],
  [Http2Exchange, 'onResponse', HTTP2, 'answer'],
  [Http2Exchange, 'onResponseBody', HTTP2, 'cut'],
  [Http2Exchange, 'onResponseEnd', HTTP2, 'cut'],
  [RetryingRequest, 'begin', ['tried1', 'tried2'], 'answer'],
  [RetryingRequest, 'write', ['tried1', 'tried2'], 'answer'],
  [RetryingRequest, 'onAttemptResponse', ['tried1', 'tried2'], 'answer'],
  [RetryingRequest, 'onAttemptBody', ['tried1', 'tried2'], 'cut'],
  [RetryingRequest, 'onAttemptEnd', ['tried1', 'tried2'], 'cut'],
  [Attempt, 'opened', ['tried1', 'tried2'], 'answer'],
  [OpaqueFlow, 'start', RAW, 'cut'],
  [OpaqueFlow, 'settle', RAW, 'cut'],
  [UndecidedFlow, 'inspect', RAW, 'cut'],
];
/** What lies on the way through an egress, with streams between it and the gateway. */
const THROUGH_EGRESS: readonly Row[] = [
  [RouteClients.prototype, 'identify', ANY, 'cut'],
  [RouteClients.prototype, 'check', HTTP, 'answer'],
  [RouteClients.prototype, 'check', RAW, 'cut'],
  [UndecidedFlow, 'onData', ENTRY, 'cut'],
  [GatewayConnections, 'takes', HTTP, 'answer'],
  [GatewayConnections, 'ready', HTTP, 'answer'],
  [GatewayConnections, 'dial', RAW, 'cut'],
  [GatewayPool, 'ready', HTTP, 'answer'],
  [GatewayPool, 'open', RAW, 'cut'],
  [Http2Upstream, 'onHead', HTTP, 'answer'],
  [Http2Exchange, 'begin', HTTP, 'answer'],
  [StreamSession, 'onRequest', RAW, 'cut'],
  [ServedTunnel, 'send', RAW, 'cut'],
  [OpaqueFlow, 'start', RAW, 'cut'],
];

/** What is thrown there leaves the other streams of the client's connection alone. */
const SHARED = new Set<object>([Http2Exchange, Http2Upstream, Target, Balancer, RetryingRequest]);

/** What happens only where there is no connection at hand. */
const COLD = new Set(['lease', 'open', 'connected', 'connection']);

/** Lets targets find no connection at hand. */
function chill(): () => void {
  // oxlint-disable-next-line typescript/unbound-method -- put back as it was
  const { take: idle } = Http1Pool.prototype;
  // oxlint-disable-next-line typescript/unbound-method -- put back as it was
  const { ready } = Http2Pool.prototype;
  Http1Pool.prototype.take = () => undefined;
  Http2Pool.prototype.ready = () => undefined;
  return () => {
    Http1Pool.prototype.take = idle;
    Http2Pool.prototype.ready = ready;
  };
}

/** Makes a method throw the next time; says whether it has. */
function arm(part: Row[0], method: string): { fired(): boolean; disarm(): void } {
  const owner = (typeof part === 'function' ? (part as { prototype: object }).prototype : part) as Record<
    string,
    unknown
  >;
  const own = Object.getOwnPropertyDescriptor(owner, method);
  if (own === undefined) throw new Error(`there is no ${method}`);
  let fired = false;
  const disarm = () => Object.defineProperty(owner, method, own);
  const armed = (): never => {
    fired = true;
    disarm();
    throw new TypeError(MARK);
  };
  Object.defineProperty(owner, method, { ...own, value: armed });
  return { fired: () => fired, disarm };
}

const nameOf = (part: Row[0]) =>
  part === policies
    ? 'policies'
    : part === watcher
      ? 'access log'
      : typeof part === 'function'
        ? part.name
        : 'clients';

/**
 * A mistake in one line of ours must cost the one flow that met it. It cost every flow of the process, or the
 * endpoint that had nothing to do with it, and told its text to whoever asked.
 */
for (const [way, rows] of [
  ['a gateway', AT_GATEWAY],
  ['an egress and a gateway', THROUGH_EGRESS],
] as const) {
  describe(`An exception that nobody foresaw, in ${way}`, () => {
    const origins: Origin[] = [];
    const captured = captureLog();
    let relay: Relay;
    let client: ServiceClient;
    let stay: ServiceClient;
    let blamed: string[];
    // oxlint-disable-next-line typescript/unbound-method -- called with their own `this`, and put back
    const { fail, failConnect } = PickedEndpoint.prototype;

    before(async function () {
      origins.push(await http1Origin(), await http2Origin(), await grpcOrigin(), await rawOrigin());
      const at = (index: number, name: string, said: Partial<TargetSpec> = {}): TargetSpec => ({
        name,
        port: 80,
        endpoints: [{ host: '127.0.0.1', port: origins[index]?.port ?? 0, ready: true }],
        limits: [{ key: name, policy: 'own', total: { perSecond: 1e6, burst: 1e6 }, overrides: [] }],
        ...said,
      });
      const requests = {
        retry: { limit: 1, statuses: [{ min: 503, max: 503 }], grpc: [] },
        timeouts: { requestMs: 5000 },
      };
      relay = await startRelay({
        specs: [
          at(0, 'one', { protocol: 'http1' }),
          at(1, 'two', { protocol: 'http2' }),
          at(0, 'tried1', { protocol: 'http1', requests }),
          at(1, 'tried2', { protocol: 'http2', requests }),
          at(2, 'grpc', { protocol: 'http2' }),
          at(3, 'raw'),
        ],
        services: ['one', 'two', 'tried1', 'tried2', 'grpc', 'raw'].map((name) => ({ name })),
        gateway: { log: captured.log, accessLog: watcher, policies, internalErrorLines: Infinity },
        egress: { internalErrorLines: Infinity },
      });
    });

    beforeEach(async () => {
      blamed = [];
      PickedEndpoint.prototype.fail = function () {
        blamed.push('fail');
        fail.call(this);
      };
      PickedEndpoint.prototype.failConnect = function () {
        blamed.push('failConnect');
        failConnect.call(this);
      };
      client = way === 'a gateway' ? await relay.local.clientOf('front.east') : relay.clientAt('127.0.0.2');
      stay = way === 'a gateway' ? await relay.local.clientOf('stays.east') : relay.clientAt('127.0.0.3');
    });

    afterEach(() => {
      Object.assign(PickedEndpoint.prototype, { fail, failConnect });
      client.close();
      stay.close();
    });

    after(async () => {
      await flowsEnded('egress', relay.egress.counters);
      await flowsEnded('gateway', relay.local.gateway.counters);
      await relay.close();
      for (const origin of origins) origin.close();
    });

    const SERVICE: Readonly<Record<Kind, string>> = {
      http1: 'one',
      to2: 'two',
      tried1: 'tried1',
      http2: 'two',
      to1: 'one',
      tried2: 'tried2',
      grpc: 'grpc',
      raw: 'raw',
    };

    /** A stream whose connection ends well before its answer says nothing. */
    async function lost(session: http2.ClientHttp2Session): Promise<never> {
      await once(session, 'close');
      throw new Error('the connection ended');
    }

    async function raw(): Promise<Heard> {
      let socket: Socket;
      try {
        socket = await client.connect('raw', 80, 'opaque');
      } catch {
        return 'cut';
      }
      let came = '';
      socket.on('data', (chunk: Buffer) => (came += chunk.toString('latin1')));
      socket.on('error', () => undefined);
      socket.write('some bytes\n');
      await eventually(
        'an end, or an echo',
        () => came.includes('some bytes') || socket.destroyed || socket.readableEnded,
      );
      const whole = came.includes('some bytes');
      socket.destroy();
      expect(came).not.to.contain(MARK);
      return whole ? 'whole' : 'cut';
    }

    async function heard(kind: Kind): Promise<Heard> {
      if (kind === 'raw') return raw();
      const speaks = HTTP1.includes(kind) ? 'http1' : 'http2';
      const grpc = kind === 'grpc';
      const body = [Buffer.from('one'), Buffer.from('two')];
      const headers = grpc ? GRPC_FIELDS : {};
      const path = grpc ? '/demo.Echo/Say' : '/echo';
      let answer;
      try {
        const ended = speaks === 'http1' ? [] : [lost(await client.session(SERVICE[kind]))];
        const request = client.request(speaks, SERVICE[kind], { method: 'POST', path, headers, body });
        answer = await Promise.race([request, ...ended]);
      } catch (error) {
        expect(String(error)).not.to.contain(MARK);
        return 'cut';
      }
      expect(JSON.stringify(answer)).not.to.contain(MARK);
      expect(answer.body.toString()).not.to.contain(MARK);
      if (grpc && answer.headers['grpc-status'] === '13') return 'answer';
      if (answer.status === 500) {
        expect(answer.body.toString()).to.equal(TEXT);
        return 'answer';
      }
      expect(answer.status).to.equal(200);
      return 'whole';
    }

    for (const [part, method, kinds, expected] of rows)
      for (const kind of kinds)
        it(`${nameOf(part)}.${method}, ${kind}: ${expected}`, async () => {
          const { counters } = relay.local.gateway;
          // Those who were there before, one of them on the connection that the other comes on.
          const shared = SHARED.has(part) && HTTP2.includes(kind) && SERVICE[kind] === 'two';
          const tunnel: Socket = await stay.connect('raw', 80, 'opaque');
          tunnel.write('here');
          await once(tunnel, 'data');
          const beside: http2.ClientHttp2Stream = (await (shared ? client : stay).session('two')).request({
            ':method': 'POST',
            ':path': '/echo',
            ':authority': 'two',
          });
          beside.write('begun ');
          await once(beside, 'response');
          const counted = () => counters.internalErrors + relay.egress.counters.internalErrors;
          const lines = (): LogLine[] =>
            [...captured.lines, ...relay.lines].filter(
              ({ msg }) => msg === 'internal error, its flow was ended',
            );
          const [counts, said] = [counted(), lines().length];
          const warm = COLD.has(method) ? chill() : () => undefined;
          const ofGateway = counters.internalErrors;
          const armed = arm(part, method);
          try {
            expect(await heard(kind)).to.equal(expected);
            await eventually('it was thrown', () => armed.fired());
          } finally {
            armed.disarm();
            warm();
          }
          await eventually('it was counted', () => counted() > counts);
          expect(counted() - counts, 'counted').to.equal(1);
          expect(lines().length - said, 'logged').to.equal(1);
          expect(JSON.stringify(lines().at(-1)))
            .to.contain(MARK)
            .and.to.match(/stack.*\.ts/);
          // To the egress a gateway that answers 500 is as any other endpoint that does.
          const spared = way === 'a gateway' || counters.internalErrors === ofGateway;
          if (spared) expect(blamed, 'blamed').to.deep.equal([]);
          tunnel.write('still');
          const [echo] = (await once(tunnel, 'data')) as [Buffer];
          expect(echo.toString()).to.equal('still');
          let rest = '';
          beside.on('data', (chunk: Buffer) => (rest += chunk.toString()));
          beside.end('and ended');
          await once(beside, 'end');
          expect(rest).to.contain('and ended');
          expect(await heard(kind), 'the next').to.equal('whole');
          tunnel.destroy();
        });
  });
}

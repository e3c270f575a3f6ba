import { expect } from 'chai';
import { DEFAULT_TAP_RPS, type TapFlow } from '../../src/api/answers/tap-events.ts';
import { systemClock } from '../../src/base/clock.ts';
import { egressTaps } from '../../src/egress/egress-taps.ts';
import { gatewayTaps } from '../../src/gateway/gateway-taps.ts';
import { NEVER } from '../../src/proxy/downstream/access-log.ts';
import { openTap } from '../../src/tap/tap.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { grpcOrigin, http1Origin, http2Origin, rawOrigin } from '../support/origins.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { WireClient } from '../support/wire-client.ts';

const named = (name: string) => `${name}.demo.svc.cluster.local`;
const isOf = (name: string) => (text: string | undefined) => text === name || text === named(name);
const FILTER = { maxRps: DEFAULT_TAP_RPS, forMs: 60_000 };
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
/** In each place of a request that nobody is to see. */
const SECRET = 's3cr3t';

// A request is seen at both ends of its way, whatever protocol it is of, and nothing of it that may be
// secret.
describe('Whoever taps', () => {
  const closed = closedIn(after);
  let relay: Relay;
  let seen: TapFlow[];
  const leave: (() => void)[] = [];

  before(async () => {
    const origins = await Promise.all([http1Origin(), http2Origin(), grpcOrigin(), rawOrigin()]);
    for (const origin of origins) closed(origin, (one) => one.close());
    const kinds = ['http1', 'http2', 'grpc', 'raw'] as const;
    const protocols = { http1: 'http1', http2: 'http2', grpc: 'http2', raw: 'opaque' } as const;
    relay = closed(
      await startRelay({
        specs: kinds.map((kind, at) => ({
          name: named(kind),
          port: 80,
          protocol: protocols[kind],
          endpoints: [{ host: '127.0.0.1', port: origins[at]?.port ?? 0, ready: true }],
        })),
        services: kinds.map((kind) => ({ name: named(kind), protocol: protocols[kind] })),
      }),
      (one) => one.close(),
    );
  });

  beforeEach(() => {
    seen = [];
    const sink = { event: (event: TapFlow) => void seen.push(event), lost: () => undefined };
    leave.push(
      openTap(gatewayTaps(relay.local.gateway, systemClock), FILTER, sink),
      openTap(egressTaps(relay.egress, systemClock), FILTER, sink),
    );
  });

  afterEach(() => {
    for (const end of leave.splice(0)) end();
    expect(relay.local.gateway.observers.wants).to.equal(NEVER);
    expect(relay.egress.observers.wants).to.equal(NEVER);
  });

  /** The events of both ends, when they have come. */
  const atBothEnds = (type: TapFlow['type'], name: string) =>
    eventually('both ends have told of it', () => {
      const found = seen.filter(
        (event) => event.type === type && [event.target.service, event.target.mirror].some(isOf(name)),
      );
      const ends = ['source', 'target'].map((side) => found.find((event) => event.side === side));
      return ends.every((one) => one !== undefined) ? (ends as [TapFlow, TapFlow]) : undefined;
    });

  for (const [kind, name] of [
    ['http1', 'http1'],
    ['http2', 'http2'],
    ['http2', 'grpc'],
  ] as const)
    it(`sees ${kind} requests for ${name} at both ends, without their headers, bodies and queries`, async () => {
      const { status } = await relay.client.request(kind, named(name), {
        method: 'POST',
        path: `/cart\u001b[2J?token=${SECRET}`.replace('\u001b', '%1b'),
        headers: {
          authorization: `Bearer ${SECRET}`,
          cookie: SECRET,
          traceparent: `00-${TRACE}-00f067aa0ba902b7-00`,
          'content-type': name === 'grpc' ? 'application/grpc' : SECRET,
        },
        body: [Buffer.from(SECRET)],
      });
      const [source, target] = await atBothEnds('flow', name);
      for (const event of [source, target])
        expect(event).to.include({ method: 'POST', path: '/cart%1b[2J', status, traceId: TRACE });
      expect(source.protocol).to.equal(kind);
      expect(source.target).to.include({ mirror: named(name), namespace: 'demo', cluster: 'west' });
      expect(source.gateway).to.equal(`127.0.0.1:${relay.local.port}`);
      expect(target.target).to.include({ service: name, namespace: 'demo', port: '80' });
      expect(target.client).to.include({ identity: 'egress.east', proven: true });
      expect(source.client).to.include({ address: '127.0.0.1', proven: false });
      expect(target.bytesIn).to.be.at.least(SECRET.length);
      expect(JSON.stringify(seen)).not.to.contain(SECRET);
    });

  it('sees raw connections, also while they are open, and none of their bytes', async () => {
    const socket = await relay.client.connect(named('raw'), 80);
    const client = closed(new WireClient(socket), (one) => one.socket.destroy());
    client.send(SECRET);
    const open = await atBothEnds('open', 'raw');
    client.socket.destroy();
    const over = await atBothEnds('flow', 'raw');
    for (const [at, event] of over.entries()) {
      expect(event).to.include({ protocol: 'opaque', id: open[at]?.id });
      expect(event.bytesIn).to.equal(SECRET.length);
      expect(event.totalMs).to.be.at.least(open[at]?.totalMs ?? Infinity);
    }
    expect(JSON.stringify(seen)).not.to.contain(SECRET);
  });

  it('sees why a request failed', async () => {
    await relay.client.request('http1', named('raw'), { path: '/' }).catch(() => undefined);
    const { status } = await relay.local.client.request('http1', named('nobody'), { path: `/?${SECRET}` });
    expect(status).to.equal(404);
    const refused = await eventually('it is told of', () =>
      seen.find(({ failure }) => failure === 'unknown service'),
    );
    expect(refused).to.include({ status: 404, path: '/' });
    expect(refused.reason).to.match(/nobody/);
  });
});

import { expect } from 'chai';
import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import { Egress } from '../../../src/egress/egress.ts';
import { RouteServer } from '../../../src/egress/route-server.ts';
import type { Route } from '../../../src/egress/routes/route.ts';
import { captureLog, type LogLine } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { fixedIdentity } from '../../support/fixed-identity.ts';
import { freePorts } from '../../support/free-port.ts';
import { noNames } from '../../support/host-names.ts';
import { useSurfaced } from '../../support/surfaced.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';
import { begun } from '../../support/begun-flow.ts';

function route(listenPort: number, address = '127.0.0.2'): Route {
  return {
    label: `demo/web-federated@west:${listenPort}`,
    namespace: 'demo',
    listenPort,
    targetCluster: 'west',
    name: 'web.demo.svc.cluster.local',
    port: 80,
    // The client's first bytes decide, so a silent client is a connection that only the egress can end.
    protocol: undefined,
    gateway: { addresses: [address], port: 4143, identity: 'gw' },
  };
}

// Members join and leave federated Services all day. A listener that was reopened for no reason would cut the
// clients of every other route.
describe('the listeners of an egress', () => {
  const surfaced = useSurfaced();
  let egress: Egress;
  let ports: number[];
  let lines: LogLine[];
  let clock: VirtualClock;
  const clients: Socket[] = [];

  const serve = (...routes: Route[]) => egress.update(new Map(routes.map((one) => [one.listenPort, one])));
  const at = (index: number) => ports[index] ?? 0;

  async function connect(port: number): Promise<Socket> {
    const client = net.connect(port, '127.0.0.1');
    clients.push(client);
    client.on('error', () => undefined);
    await once(client, 'connect');
    return client;
  }
  const accepts = (port: number) =>
    connect(port).then(
      () => true,
      () => false,
    );
  const open = (count: number) =>
    eventually(`${count} open connections`, async () => egress.counters.client.numbers.open === count);

  beforeEach(async () => {
    ports = await freePorts(3);
    clock = new VirtualClock();
    const captured = captureLog();
    lines = captured.lines;
    egress = new Egress({
      listenAddress: '127.0.0.1',
      identity: fixedIdentity(undefined),
      clock,
      random: () => 0.5,
      log: captured.log,
      names: noNames(clock),
      graceMs: 0,
    });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await egress.stop();
  });

  // The series of every mirror that there has ever been stayed until the process ended.
  it('take the series of a mirror with them, ten minutes after it has gone', async () => {
    const { label } = route(at(0));
    serve(route(at(0)), route(at(1)));
    begun(egress.counters, label).end();
    serve(route(at(1)));
    const known = () => Object.keys(egress.counters.snapshot().targets);
    expect(known()).to.deep.equal([label]);
    // A series with other labels would be another series.
    const place = { cluster: 'west', name: 'web.demo.svc.cluster.local' };
    serve(route(at(1)));
    expect(egress.placeOf(label)).to.deep.equal(place);
    const { targets } = await egress.stats();
    expect(targets.map(({ label: of, there }) => [of, there])).to.deep.equal([[label, place]]);
    await clock.advance(600_000);
    expect(known()).to.deep.equal([]);
  });

  // Somebody sets a timeout at a busy Service: that must not cut the clients of its mirrors.
  it('stay open when only retries or timeouts change', async () => {
    serve(route(at(0)));
    await eventually('it accepts', () => accepts(at(0)));
    const client = await connect(at(0));
    let ended = false;
    client.on('close', () => (ended = true));
    serve({ ...route(at(0)), requests: { timeouts: { requestMs: 1000 } } });
    serve({ ...route(at(0)), requests: { timeouts: { requestMs: 2000 } } });
    serve(route(at(0)));
    expect(await accepts(at(0))).to.equal(true);
    expect([ended, lines.filter(({ msg }) => msg === 'route closed').length]).to.deep.equal([false, 0]);
  });

  it('open with a route and close with it', async () => {
    serve(route(at(0)));
    await eventually('it accepts', () => accepts(at(0)));
    serve(route(at(1)));
    await eventually('the new one accepts', () => accepts(at(1)));
    await eventually('the old one refuses', async () => !(await accepts(at(0))));
    expect(egress.ports).to.deep.equal([at(1)]);
  });

  it('leave connections of unchanged routes alone while others come, change and go', async () => {
    serve(route(at(0)), route(at(1)));
    await eventually('both accept', async () => (await accepts(at(0))) && (await accepts(at(1))));
    for (const client of clients.splice(0)) client.destroy();
    await open(0);
    const kept = await connect(at(0));
    kept.resume();
    await open(1);
    serve(route(at(0)), route(at(1), '127.0.0.3'), route(at(2)));
    await eventually('the new one accepts', () => accepts(at(2)));
    serve(route(at(0)));
    await eventually('the others refuse', async () => !(await accepts(at(1))) && !(await accepts(at(2))));
    expect(kept.closed || kept.readableEnded).to.equal(false);
    const said = lines.filter(({ port }) => port === at(0)).map(({ msg }) => msg);
    expect(said, 'its listener was never touched').to.deep.equal(['route served']);
    expect(await accepts(at(0))).to.equal(true);
  });

  it('let flows of a route that is gone end by themselves', async () => {
    serve(route(at(0)));
    await eventually('it accepts', () => accepts(at(0)));
    const before = clients.length;
    serve();
    await eventually('it refuses', async () => !(await accepts(at(0))));
    expect(clients.slice(0, before).every((client) => !client.closed)).to.equal(true);
  });

  it('open again at once with the new gateway of a route', async () => {
    serve(route(at(0)));
    await eventually('it accepts', () => accepts(at(0)));
    serve(route(at(0), '127.0.0.3'));
    await eventually('it accepts again', () => accepts(at(0)));
    expect(egress.ready).to.deep.equal({ ok: true, reason: '' });
  });

  // One route at which something threw kept all behind it from being opened, closed or changed, until the
  // next change of anything.
  for (const what of ['opened', 'changed', 'closed'] as const)
    it(`follow all routes but the one that cannot be ${what}, and that one later`, async () => {
      const [first, second, third] = [route(at(0)), route(at(1)), route(at(2))];
      const changed = (one: Route): Route => ({ ...one, requests: { timeouts: { requestMs: 1000 } } });
      if (what !== 'opened') {
        serve(first, second);
        await eventually('both accept', async () => (await accepts(at(0))) && (await accepts(at(1))));
      }
      const method = ({ opened: 'listen', changed: 'follow', closed: 'stopAccepting' } as const)[what];
      const original = RouteServer.prototype[method] as (...args: unknown[]) => unknown;
      let failures = 0;
      Object.assign(RouteServer.prototype, {
        [method](this: RouteServer, ...args: unknown[]): unknown {
          if (this.route.listenPort !== at(0) || failures > 0) return original.apply(this, args);
          failures++;
          const bug = new TypeError('a bug');
          if (what === 'opened') return Promise.reject(bug);
          throw bug;
        },
      });
      try {
        if (what === 'opened') serve(first, second, third);
        if (what === 'changed') serve(changed(first), changed(second), third);
        if (what === 'closed') serve(third);
        await settle();
        expect(failures).to.equal(1);
        await eventually('the others are as they should be', async () => {
          const others = (await accepts(at(1))) === (what !== 'closed');
          return others && (await accepts(at(2)));
        });
        expect(surfaced).to.deep.equal([
          { message: 'a bug', what: 'routes of the egress', port: String(at(0)) },
        ]);
        expect(egress.ready).to.deep.equal({
          ok: true,
          reason: `port ${at(0)}: internal error, see the log`,
        });
        await clock.advance(2000);
        await eventually(
          'it has come right',
          async () => (await accepts(at(0))) === (what !== 'closed') && egress.ready.reason === '',
        );
      } finally {
        Object.assign(RouteServer.prototype, { [method]: original });
      }
    });
});

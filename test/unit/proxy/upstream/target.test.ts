import { NO_BOUNDARY } from '../../../../src/proxy/http/failure-boundary.ts';
import { expect } from 'chai';
import { createServer, type Server, type Socket } from 'node:net';
import type { Connection } from '../../../../src/proxy/io/connection.ts';
import { ConnectionCounters } from '../../../../src/proxy/metrics/connection-counters.ts';
import { plainDial } from '../../../../src/proxy/io/dial.ts';
import { ProxyFailure } from '../../../../src/proxy/http/failures.ts';
import { Target } from '../../../../src/proxy/upstream/target.ts';
import type {
  PathState,
  StreamCarrier,
  TargetOptions,
} from '../../../../src/proxy/upstream/target-options.ts';
import type { EndpointAddress } from '../../../../src/proxy/upstream/balancer/balancer.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { eventually } from '../../../support/eventually.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const counters = () => new ConnectionCounters();
const failureOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'none',
    (error: unknown) => (error instanceof ProxyFailure ? `${error.kind}: ${error.message}` : String(error)),
  );

describe('target', () => {
  let clock: VirtualClock;
  let server: Server;
  let accepted: Socket[];
  let here: { host: string; port: number; ready: boolean };
  const made: Target[] = [];

  const target = (options: Partial<TargetOptions> = {}): Target => {
    const dial = plainDial({ label: 'web:80', counters, boundary: NO_BOUNDARY, clock });
    const one = new Target({ label: 'web:80', dial, clock, random: () => 0, ...options });
    made.push(one);
    return one;
  };

  beforeEach(async () => {
    clock = new VirtualClock();
    accepted = [];
    server = createServer((socket) => {
      accepted.push(socket.on('error', () => undefined));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const bound = server.address();
    here = {
      host: '127.0.0.1',
      port: typeof bound === 'object' && bound !== null ? bound.port : 0,
      ready: true,
    };
  });
  afterEach(() => {
    for (const one of made.splice(0)) one.close();
    for (const socket of accepted) socket.destroy();
    server.close();
  });

  // A target that hangs collects requests until the process is out of memory, and with it every other target.
  it('refuses more than it may have under way, saying so, and takes new ones when old ones end', async () => {
    const one = target({ maxPending: 2 });
    one.update([here]);
    const [first] = await Promise.all([one.lease(true), one.lease(true)]);
    expect(await failureOf(one.lease(true))).to.equal(
      'load shed: web:80 has 2 requests under way, which is as many as it may have',
    );
    first?.endpoint.succeed(1);
    first?.connection.destroy();
    expect(await failureOf(one.lease(true))).to.equal('none');
  });

  describe('to an endpoint that is slow to accept', () => {
    interface Opening {
      readonly resolve: (connection: Connection) => void;
      readonly reject: (error: unknown) => void;
    }
    let openings: Opening[];
    let connection: Connection;
    const slow = (options: Partial<TargetOptions> = {}): Target => {
      openings = [];
      return target({
        dial: () => new Promise((resolve, reject) => openings.push({ resolve, reject })),
        ...options,
      });
    };
    const opened = async () => {
      for (let at = 0; at < openings.length; at++) {
        openings[at]?.resolve(connection);
        await settle();
      }
    };
    beforeEach(async () => {
      const one = target();
      one.update([here]);
      ({ connection } = await one.lease(true));
    });

    // Each request that waited for an endpoint that accepts nothing had a socket of its own: 10,000 of one
    // client, and the process had no more files.
    it('opens a bounded number of connections at once, and gives the others theirs in turn', async () => {
      const one = slow({ maxOpening: 3 });
      one.update([here]);
      const leases = Array.from({ length: 10 }, () => failureOf(one.lease(true, 'opaque')));
      await settle();
      expect(openings.length).to.equal(3);
      await opened();
      expect(await Promise.all(leases)).to.deep.equal(leases.map(() => 'none'));
      expect(openings.length).to.equal(10);
    });

    it('opens at most 128 where nothing else is said, and each endpoint has its own', async () => {
      const one = slow();
      one.update([here, { ...here, host: '127.0.0.2' }]);
      const leases = Array.from({ length: 1000 }, () => failureOf(one.lease(true)));
      await settle();
      expect(openings.length).to.be.within(129, 256);
      await opened();
      await Promise.all(leases);
    });

    it('tells those who wait when one cannot be opened, so that they go elsewhere at once', async () => {
      const one = slow({ maxOpening: 1, failfastMs: 0 });
      one.update([here]);
      const leases = Array.from({ length: 3 }, () => failureOf(one.lease(true)));
      await settle();
      openings[0]?.reject(new ProxyFailure('connect timeout', 'nobody there'));
      expect(await Promise.all(leases)).to.deep.equal(leases.map(() => 'connect timeout: nobody there'));
      expect(openings.length).to.equal(1);
      const after = failureOf(one.lease(true));
      await settle();
      await opened();
      expect(await after).to.equal('none');
    });
  });

  it('lets a bounded number wait for an endpoint, and refuses the others at once', async () => {
    const one = target({ maxWaiting: 2 });
    one.update([{ ...here, ready: false }]);
    const waiting = [one.lease(true), one.lease(true)];
    await settle();
    expect(await failureOf(one.lease(true))).to.equal(
      'load shed: no ready endpoints for web:80 (1 known), and 2 requests wait for one already',
    );
    one.update([here]);
    expect(await Promise.all(waiting.map(failureOf))).to.deep.equal(['none', 'none']);
  });

  it('gives the reason when the wait was in vain, and from then on at once', async () => {
    const one = target();
    one.update([{ ...here, ready: false }]);
    const waiting = failureOf(one.lease(true));
    await settle();
    await clock.advance(3000);
    const reason = 'failfast: no ready endpoints for web:80 (1 known, 0 ready)';
    expect(await waiting).to.equal(reason);
    expect(await failureOf(one.lease(true))).to.equal(reason);
  });

  it('gives it at once to a raw connection whose client could go elsewhere', async () => {
    const one = target();
    one.update([{ ...here, ready: false }]);
    expect(await failureOf(one.lease(true, 'opaque', undefined, { alternatives: 1 }))).to.equal(
      'failfast: no ready endpoints for web:80 (1 known, 0 ready)',
    );
  });

  it('keeps unused connections across updates that leave the endpoint, and closes them with it', async () => {
    const one = target();
    one.update([here]);
    const lease = await one.lease(false);
    lease.endpoint.succeed(1);
    one.giveBack(lease);
    one.update([here, { host: '127.0.0.2', port: 1, ready: false }]);
    const again = await one.lease(false);
    expect(again.reused).to.equal(true);
    one.update([]);
    one.giveBack(again);
    await eventually('it is closed', () => Promise.resolve(again.connection.closed));
  });

  // A gateway, or the one pod of a service, that is being replaced refuses for a second. Nothing has been
  // sent by then, so there is no reason to fail anybody.
  it('tries again for 3 s when no endpoint can be connected to', async () => {
    let refusals = 3;
    const dial: TargetOptions['dial'] = (endpoint) => {
      if (refusals-- > 0) return Promise.reject(new ProxyFailure('connection failed', 'refused'));
      return plainDial({ label: 'web:80', counters, boundary: NO_BOUNDARY, clock })(endpoint, 'http1');
    };
    const one = target({ dial });
    one.update([here]);
    const lease = failureOf(one.lease(true));
    for (let step = 0; step < 10; step++) {
      await settle();
      await clock.advance(200);
    }
    expect(await lease).to.equal('none');
  });

  it('fails everybody at once when that has been in vain, and begins anew after a success', async () => {
    let connectLimit = 0;
    let refuses = true;
    const dial: TargetOptions['dial'] = (endpoint) => {
      connectLimit++;
      if (refuses) return Promise.reject(new ProxyFailure('connection failed', 'refused'));
      return plainDial({ label: 'web:80', counters, boundary: NO_BOUNDARY, clock })(endpoint, 'http1');
    };
    const one = target({ dial });
    one.update([here]);
    const first = failureOf(one.lease(true));
    for (let step = 0; step < 30; step++) {
      await settle();
      await clock.advance(200);
    }
    expect(await first).to.equal('connection failed: refused');
    const before = connectLimit;
    expect(await failureOf(one.lease(true))).to.equal('connection failed: refused');
    expect(connectLimit - before).to.equal(1);
    refuses = false;
    expect(await failureOf(one.lease(true))).to.equal('none');
    refuses = true;
    const second = failureOf(one.lease(true));
    await settle();
    refuses = false;
    for (let step = 0; step < 5; step++) {
      await clock.advance(200);
      await settle();
    }
    expect(await second).to.equal('none');
  });

  it('passes over an endpoint that cannot be connected to, and shuts it', async () => {
    const one = target();
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(0, '127.0.0.1', resolve));
    const bound = dead.address();
    await new Promise<void>((resolve) => dead.close(() => resolve()));
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    one.update([{ ...here, port }, here]);
    const leases = await Promise.all(Array.from({ length: 4 }, () => one.lease(true)));
    expect(leases.every(({ endpoint }) => endpoint.state.port === here.port)).to.equal(true);
  });

  describe('whose endpoints have shared connections', () => {
    let states: Record<string, PathState>;
    let prepared: string[];
    let ready: () => Promise<boolean>;
    const first = { host: '10.0.0.1', port: 1, ready: true };
    const second = { host: '10.0.0.2', port: 1, ready: true };
    const carried = (addresses: readonly EndpointAddress[]): Target => {
      const open = plainDial({ label: 'web:80', counters, boundary: NO_BOUNDARY, clock });
      const dial: TargetOptions['dial'] = () => open(here, 'opaque');
      const stateOf = ({ host }: { readonly host: string }) => states[host] ?? 'good';
      const streams: StreamCarrier = {
        target: makeField(':target', 'web:80'),
        possible: true,
        get state() {
          const all = new Set(addresses.map(stateOf));
          return (['good', 'lost', 'late'] as const).find((one) => all.has(one)) ?? 'good';
        },
        stateOf,
        takes: () => true,
        ready: () => undefined,
        prepare: () => Promise.resolve(true),
        prove: ({ host }) => {
          prepared.push(host);
          return ready();
        },
      };
      const one = target({ dial, streams });
      one.update(addresses);
      return one;
    };
    beforeEach(() => {
      states = {};
      prepared = [];
      ready = () => Promise.resolve(true);
    });

    // Requests of a group went to a gateway that had just been found to be dead, and waited for a second
    // until it could not be connected to, while another cluster would have served them.
    it('is unproven while all of them are lost, and is connected to in the background, once at a time', async () => {
      const one = carried([first]);
      expect(one.standing).to.equal('open');
      states[first.host] = 'late';
      expect(one.standing).to.equal('closed');
      states[first.host] = 'lost';
      expect(one.standing).to.equal('unproven');
      const opening = Promise.withResolvers<boolean>();
      ready = () => opening.promise;
      one.prove();
      one.prove();
      expect(prepared).to.deep.equal([first.host]);
      states[first.host] = 'good';
      opening.resolve(true);
      await settle();
      expect(one.standing).to.equal('open');
      one.prove();
      expect(prepared).to.have.length(2);
    });

    it('is closed for a while where that fails', async () => {
      const one = carried([first]);
      states[first.host] = 'lost';
      ready = () => Promise.reject(new ProxyFailure('connect timeout', 'nobody there'));
      one.prove();
      await settle();
      expect(one.standing).to.equal('closed');
      await clock.advance(1500);
      expect(one.standing).to.equal('unproven');
    });

    // After an outage of minutes a breaker waits for a minute, so that a cluster that was back, and had a
    // share, got nothing of it for that long.
    it('can be proven before it is due, which opens it again', async () => {
      const one = carried([first]);
      states[first.host] = 'lost';
      ready = () => Promise.reject(new ProxyFailure('connect timeout', 'nobody there'));
      for (let count = 0; count < 8; count++) {
        one.prove();
        await settle();
        await clock.advance(100_000);
      }
      one.prove();
      await settle();
      expect(one.standing).to.equal('closed');
      ready = () => {
        states = {};
        return Promise.resolve(true);
      };
      one.prove();
      await settle();
      expect(one.standing).to.equal('closed');
      one.proveEarly();
      await settle();
      expect(one.standing).to.equal('open');
      const before = prepared.length;
      one.proveEarly();
      expect(prepared).to.have.length(before);
    });

    it('passes over an address that does not answer, and has one that was lost proven', async () => {
      const one = carried([first, second]);
      for (const state of ['late', 'lost'] as const) {
        states = { [first.host]: state };
        prepared = [];
        for (let count = 0; count < 4; count++) {
          const { endpoint } = await one.lease(true, 'opaque');
          expect(endpoint.endpoint).to.equal('10.0.0.2:1');
        }
        expect([...new Set(prepared)]).to.deep.equal(state === 'lost' ? [first.host] : []);
      }
    });
  });
});

import { expect } from 'chai';
import { Socket } from 'node:net';
import type { Clock } from '../../../../src/base/clock.ts';
import type { EndpointState } from '../../../../src/proxy/upstream/balancer/endpoint.ts';
import type { Connection } from '../../../../src/proxy/io/connection.ts';
import { SocketConnection } from '../../../../src/proxy/io/socket-connection.ts';
import { Http1Pool } from '../../../../src/proxy/upstream/http1-pool.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/**
 * A connection whose peer is trusted no more, or that has grown old, must not carry the next request only
 * because it lay unused at that moment.
 */
describe('unused connections', () => {
  const endpoint = {} as EndpointState;
  const pool = () => new Http1Pool({ clock: new VirtualClock(), idleMs: 3000, max: 10 });
  const closing = (connection: Connection) =>
    new Promise<boolean>((resolve) => connection.whenClosed(() => resolve(true)));

  it('are given out again', () => {
    const idle = pool();
    const one = new SocketConnection(new Socket());
    idle.put(endpoint, one);
    expect(idle.take(endpoint)).to.equal(one);
  });

  it('end when they are retired, and are not given out', async () => {
    const idle = pool();
    const one = new SocketConnection(new Socket());
    idle.put(endpoint, one);
    one.retire();
    expect(await closing(one)).to.equal(true);
    expect(idle.take(endpoint)).to.equal(undefined);
  });

  it('are not kept when they were retired in use', async () => {
    const idle = pool();
    const one = new SocketConnection(new Socket());
    one.retire();
    idle.put(endpoint, one);
    expect(await closing(one)).to.equal(true);
    expect(idle.take(endpoint)).to.equal(undefined);
  });

  // The socket's `close` comes at the end of the event loop's turn: requests that came in the same turn were
  // given a connection that we had just destroyed, and a POST was answered 502 of which nothing had been
  // sent.
  describe('that have just been destroyed are not given out, though they have not closed yet', () => {
    for (const [why, end] of [
      ['their peer has ended them', (one: Connection) => one.handler.onEnd(one)],
      ['they said something unasked', (one: Connection) => one.handler.onData(one, Buffer.from('x'))],
      ['they were retired', (one: Connection) => one.retire()],
    ] as const)
      it(`as ${why}`, () => {
        const idle = pool();
        const [first, last] = [new SocketConnection(new Socket()), new SocketConnection(new Socket())];
        idle.put(endpoint, first);
        idle.put(endpoint, last);
        end(last);
        expect(last.closed).to.equal(false);
        expect(idle.take(endpoint)).to.equal(first);
        expect(idle.take(endpoint)).to.equal(undefined);
      });

    it('as nobody has used them for long', () => {
      let [now, sweep] = [0, () => undefined as unknown];
      const clock = {
        ...new VirtualClock(),
        monotonic: () => now,
        after: (_: number, task: () => unknown) => {
          sweep = task;
          return { cancel: () => undefined };
        },
      } as unknown as Clock;
      const idle = new Http1Pool({ clock, idleMs: 3000, max: 10 });
      const one = new SocketConnection(new Socket());
      idle.put(endpoint, one);
      now = 3000;
      sweep();
      expect(one.closed).to.equal(false);
      expect(idle.take(endpoint)).to.equal(undefined);
    });

    it('as their endpoint is no more', () => {
      const idle = pool();
      const one = new SocketConnection(new Socket());
      idle.put(endpoint, one);
      idle.keepOnly(new Set());
      expect(one.closed).to.equal(false);
      expect(idle.take(endpoint)).to.equal(undefined);
    });
  });
});

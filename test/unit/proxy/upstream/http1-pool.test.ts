import { expect } from 'chai';
import { Socket } from 'node:net';
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
});

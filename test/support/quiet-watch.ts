import { expect } from 'chai';
import { once } from 'node:events';
import type http2 from 'node:http2';
import { grpcCall } from './grpc.ts';
import { localGateway } from './local-gateway.ts';
import { VirtualClock } from './virtual-clock.ts';

/**
 * A watch that says nothing for an hour, at a real gRPC server (`peers.Peers/Watch`): gRPC's servers end the
 * connection of who asks by PING more often than every five minutes, and with it the streams of everybody.
 * The hour is the gateway's. Fails when the watch ends.
 */
export async function watchForAnHour(port: number): Promise<void> {
  const clock = new VirtualClock(Date.now());
  const name = 'watch.demo.svc.cluster.local';
  const endpoints = [{ host: '127.0.0.1', port, ready: true }];
  const local = await localGateway([{ name, port: 80, protocol: 'http2', endpoints }], { clock });
  try {
    const session = await local.client.session(name);
    const watch = grpcCall(session, '/peers.Peers/Watch');
    const ends: string[] = [];
    watch.on('error', (error) => ends.push(error.message));
    watch.once('end', () => ends.push('ended'));
    // An empty message: not compressed, of length 0.
    watch.end(Buffer.alloc(5));
    await once(watch, 'data');
    watch.resume();
    for (let seconds = 0; seconds < 3600 && ends.length === 0; seconds += 10) {
      await clock.advance(10_000);
      // What the gateway asks us is answered before time goes on.
      for (let round = 0; round < 2; round++) await answered(session);
    }
    expect(ends).to.deep.equal([]);
    watch.close();
  } finally {
    await local.close();
  }
}

/** A round trip on the connection; also over when the connection is. */
function answered(session: http2.ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => {
    if (session.destroyed || !session.ping(() => resolve())) resolve();
  });
}

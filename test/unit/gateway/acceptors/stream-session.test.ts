import { expect } from 'chai';
import { StreamSession, type StreamContext } from '../../../../src/gateway/acceptors/stream-session.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import type { Connection } from '../../../../src/proxy/io/connection.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import type { Http2Stream } from '../../../../src/proxy/http2/stream.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const BOUND = 10_000;

// A relay that invents a client for each stream must not fill the gateway's memory, and the clients that come
// again and again must not be looked up each time.
describe('what a gateway remembers of those whom a relay speaks for', () => {
  const opened: string[] = [];
  let left = 0;

  const session = new StreamSession({
    connection: { remoteAddress: '10.0.0.1' } as Connection,
    clock: new VirtualClock(),
    counters: new ProxyCounters(),
    exported: () => true,
    clients: 'believed',
    context: (name, port, client) => {
      opened.push(`${client} ${name}:${port}`);
      const context = { serve: () => undefined, leave: () => void left++ };
      return context as Partial<StreamContext> as StreamContext;
    },
  });
  const come = (client: string, target = 'web:80') =>
    session.onRequest(
      {} as Http2Stream,
      [
        makeField(':method', 'CONNECT'),
        makeField(':target', target),
        makeField(':session', 'opaque'),
        makeField(':client', client),
      ],
      false,
    );

  it('is each client for each service once', () => {
    for (let count = 0; count < 3; count++)
      for (const client of ['a', 'b']) for (const target of ['web:80', 'db:7']) come(client, target);
    expect(opened.splice(0)).to.deep.equal(['a web:80', 'a db:7', 'b web:80', 'b db:7']);
  });

  it('is bounded: whoever came first is forgotten first', () => {
    for (let count = 0; count < BOUND + 500; count++) come(`c${count}`);
    expect(opened.splice(0).length - left + 4).to.equal(BOUND);
    come(`c${BOUND}`);
    expect(opened).to.deep.equal([]);
    come('a');
    expect(opened.splice(0)).to.deep.equal(['a web:80']);
  });

  it('is nothing when its connection is gone', () => {
    const before = left;
    session.onClosed();
    expect(left - before).to.equal(BOUND);
  });
});

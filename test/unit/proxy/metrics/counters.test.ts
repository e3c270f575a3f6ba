import { expect } from 'chai';
import fc from 'fast-check';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import {
  addSnapshots,
  EMPTY_SNAPSHOT,
  endedSnapshot,
} from '../../../../src/proxy/metrics/counters-snapshot.ts';
import { readResponseKey, responseKey } from '../../../../src/proxy/metrics/histogram.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';
import { begun } from '../../../support/begun-flow.ts';

const WEB = 'web.demo.svc.cluster.local:80';

describe('accounts of the data path', () => {
  it('add up over processes as if one had counted', () => {
    const one = new ProxyCounters();
    const [a, b] = [new ProxyCounters(), new ProxyCounters()];
    for (const [at, ms] of [0.5, 1, 7, 80, 99_999].entries()) {
      const grpc = at === 3 ? 14 : undefined;
      for (const counters of [one, at % 2 === 0 ? a : b]) {
        const target = begun(counters, WEB);
        target.answered(ms);
        target.response(200, ms, grpc);
        if (at < 3) target.end();
        counters.failure('failfast', WEB);
        counters.header('http2', 'web.demo.svc.cluster.local', 80, 'east');
        counters.authorization('http', true, 'east').count++;
        counters.endpointOf(WEB).begin({ bytesRead: 3, bytesWritten: at });
      }
    }
    expect(addSnapshots(a.snapshot(), b.snapshot())).to.deep.equal(one.snapshot());
    expect(addSnapshots(EMPTY_SNAPSHOT, one.snapshot())).to.deep.equal(one.snapshot());
  });

  it('survive the way to another process', () => {
    const counters = new ProxyCounters();
    begun(counters, WEB).response(503, 12);
    counters.failure('failfast', WEB);
    counters.refuse('no client identity');
    const snapshot = counters.snapshot();
    expect(JSON.parse(JSON.stringify(snapshot))).to.deep.equal(snapshot);
  });

  it('count bytes of connections that are open', () => {
    const counters = new ProxyCounters();
    const connection = { bytesRead: 0, bytesWritten: 0 };
    counters.client.begin(connection);
    connection.bytesRead = 1000;
    expect(counters.snapshot().client).to.include({ opened: 1, open: 1, readBytes: 1000 });
    counters.client.end(connection, 'ECONNRESET');
    counters.client.end(connection);
    expect(counters.snapshot().client).to.deep.equal({
      opened: 1,
      open: 0,
      readBytes: 1000,
      writtenBytes: 0,
      closes: { ECONNRESET: 1 },
    });
  });

  it('keep what a process that ended has carried, but not what it had open', () => {
    const counters = new ProxyCounters();
    counters.client.begin({ bytesRead: 5, bytesWritten: 6 });
    counters.endpointOf(WEB).begin({ bytesRead: 7, bytesWritten: 8 });
    begun(counters, WEB);
    const ended = endedSnapshot(counters.snapshot());
    expect(ended.client).to.include({ opened: 1, open: 0, readBytes: 5 });
    expect(ended.targets[WEB]).to.include({ requests: 1, inFlight: 0 });
    expect(ended.endpoints[WEB]).to.include({ opened: 1, open: 0, writtenBytes: 8 });
  });

  // A client can ask for any name: were each to make a series, it could fill our memory and Prometheus'.
  it('do not grow by names that do not exist', () => {
    const counters = new ProxyCounters({ known: (label) => label === WEB });
    for (let n = 0; n < 1000; n++) {
      begun(counters, `x${n}.demo.svc.cluster.local:80`).response(404, 1);
      counters.failure('unknown service', `x${n}.demo.svc.cluster.local:80`);
      counters.header('http1', `x${n}.demo.svc.cluster.local`, 80, 'east');
      counters.endpointOf(`x${n}.demo.svc.cluster.local:80`).begin({ bytesRead: 0, bytesWritten: 0 });
    }
    begun(counters, WEB);
    const snapshot = counters.snapshot();
    expect(Object.keys(snapshot.targets)).to.deep.equal(['other', WEB]);
    expect(snapshot.targets['other']?.requests).to.equal(1000);
    expect(Object.values(snapshot.headers)).to.deep.equal([1000]);
    expect(Object.keys(snapshot.endpoints)).to.deep.equal(['other']);
    expect(snapshot.endpoints['other']?.opened).to.equal(1000);
  });

  it('do not grow by clients without end', () => {
    const counters = new ProxyCounters();
    for (let n = 0; n < 1000; n++) {
      counters.header('http1', 'web', 80, `client-${n}`);
      counters.authorization('tcp', false, `client-${n}`).count++;
    }
    const { headers, authorizations } = counters.snapshot();
    expect(Object.keys(headers)).to.have.length(201);
    expect(Object.keys(authorizations)).to.have.length(201);
    expect(Object.values(headers).reduce((sum, count) => sum + count)).to.equal(1000);
  });

  it('forget a service ten minutes after it has gone and been used last', () => {
    const clock = new VirtualClock();
    let exported = true;
    const counters = new ProxyCounters({ known: () => exported, clock });
    let last = begun(counters, WEB);
    counters.header('http1', 'web.demo.svc.cluster.local', 80, 'east');
    exported = false;
    const after = async (ms: number) => {
      await clock.advance(ms);
      return Object.keys(counters.snapshot().targets);
    };
    return (async () => {
      expect(await after(0)).to.deep.equal([WEB]);
      expect(await after(500_000)).to.deep.equal([WEB]);
      // One that is under way counts as use.
      expect(await after(10_000_000)).to.deep.equal([WEB]);
      last.end();
      expect(await after(500_000)).to.deep.equal([WEB]);
      last = begun(counters, WEB);
      last.end();
      expect(await after(200_000)).to.deep.equal([WEB]);
      expect(await after(600_000)).to.deep.equal([]);
      expect(counters.snapshot().headers).to.deep.equal({});
    })();
  });

  it('keep status and gRPC status apart in one number', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 599 }),
        fc.option(fc.integer({ min: 0, max: 16 }), { nil: undefined }),
        (status, grpc) => {
          expect(readResponseKey(responseKey(status, grpc))).to.deep.equal({ status, grpc });
        },
      ),
    );
    expect(readResponseKey(responseKey(999, 77))).to.deep.equal({ status: 0, grpc: 2 });
  });
});

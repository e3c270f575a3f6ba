import { expect } from 'chai';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { STATS_PAGE } from '../../../../src/api/answers/stats-report.ts';
import { listenOn } from '../../../../src/base/listen.ts';
import { askUrl } from '../../../../src/kube/client/pod-proxy.ts';
import { ALL_BUCKETS, FIRST_BUCKET } from '../../../../src/proxy/metrics/latency-histogram.ts';
import { closedIn } from '../../../support/closed-in.ts';
import { flowOf, reportOf, routeOf, targetOf } from '../../../support/traffic-readings.ts';

/** As many as a process counts one by one, and the row of all others. */
const ROWS = 10_001;

describe('A page of a pod', () => {
  const closed = closedIn(after);

  // Whoever has most to look at, or is attacked with names and addresses, must not be blind for it.
  it('is read also where the process has counted all that it can', async () => {
    const counts = Array.from({ length: ALL_BUCKETS }, (_, at) => 1000 + at);
    const latency = { schema: 3, sumMs: 123_456.789, offset: FIRST_BUCKET, counts } as const;
    const tcp = { opened: 1, open: 1, readBytes: 1000, writtenBytes: 1000, closes: { ECONNRESET: 1 } };
    const label = 'a-service-of-a-name.of-a-namespace.svc.cluster.local:8080';
    const from = { cluster: 'east', proven: true };
    const rows = <T>(row: T) => Array.from({ length: ROWS }, () => row);
    const report = reportOf({
      targets: rows(targetOf({ label, latency, tcp, retries: 1, timeouts: 1, limited: 1 })),
      flows: rows(flowOf({ target: label, from, errors: { failfast: 1 } })),
      routes: rows(routeOf({ target: label, route: 'GET /a/path/of/a/route', latency })),
    });
    const body = JSON.stringify(report);
    const server = createServer((_, response) => {
      response.setHeader('content-type', 'application/json').end(body);
    });
    closed(server, (one) => new Promise<void>((resolve) => one.close(() => resolve())));
    await listenOn(server, { host: '127.0.0.1', port: 0 });
    const { port } = server.address() as AddressInfo;
    const answer = await askUrl(`http://127.0.0.1:${port}`, '/stats', AbortSignal.timeout(60_000));
    expect(STATS_PAGE.read(answer).routes).to.have.length(ROWS);
  });
});

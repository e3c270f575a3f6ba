import { expect } from 'chai';
import { edgeName, edgesText } from '../../../../src/cli/output/edges-text.ts';
import { adviceFor } from '../../../../src/cli/output/failure-advice.ts';
import { render } from '../../../../src/cli/output/output.ts';
import { proxiesText, proxyName } from '../../../../src/cli/output/proxies-text.ts';
import { routeName, routesText } from '../../../../src/cli/output/routes-text.ts';
import {
  bytesCell,
  noTraffic,
  rateCell,
  timeCell,
  trafficTable,
} from '../../../../src/cli/output/traffic-text.ts';
import { type ClusterReading, withNames } from '../../../../src/traffic/cluster-reading.ts';
import { edgeRows } from '../../../../src/traffic/edge-rows.ts';
import { proxyRows } from '../../../../src/traffic/proxy-rows.ts';
import { routeRows } from '../../../../src/traffic/route-rows.ts';
import { inOrder } from '../../../../src/traffic/stat-row.ts';
import { expectGolden } from '../../../support/golden.ts';
import { flowOf, mirrorOf, processOf, readingOf, twoClusters } from '../../../support/traffic-readings.ts';

const both = (): ClusterReading[] => withNames(twoClusters());
const json = (rows: readonly object[]) => `${JSON.stringify(rows, null, 2)}\n`;
const web = ({ name }: { readonly name: string }) => name === 'web';

describe('texts of edges, routes and proxies', () => {
  it('edges', () => {
    const rows = inOrder(edgeRows(both()), 'failing', edgeName);
    expectGolden('cli/edges/table.txt', edgesText(rows, false, 60_000));
    expectGolden('cli/edges/wide.txt', edgesText(rows, true, 60_000));
    expectGolden('cli/edges/rows.json', json(rows));
    expect(edgesText([], false, 60_000)).to.equal('No traffic in the last 1m.\n');
  });

  it('routes', () => {
    const rows = inOrder(routeRows(both(), web), 'failing', routeName);
    expectGolden('cli/routes/table.txt', routesText(rows, false, 60_000));
    expectGolden('cli/routes/wide.txt', routesText(rows, true, 60_000));
    expectGolden('cli/routes/rows.json', json(rows));
    // There may be other traffic.
    expect(routesText([], false, 60_000)).to.equal(
      'No traffic to which retries, timeouts or a ServiceProfile apply in the last 1m.\n',
    );
  });

  it('proxies', () => {
    const rows = inOrder(proxyRows(both()), 'failing', proxyName);
    expectGolden('cli/proxies/table.txt', proxiesText(rows, false));
    expectGolden('cli/proxies/rows.json', json(rows));
  });
});

describe('tables of traffic', () => {
  it('a terminal of 40 columns gets lists instead of tables that wrap', () => {
    const rows = inOrder(edgeRows(both()), 'failing', edgeName).slice(0, 2);
    const cells = [
      ['SRC', ({ src }: (typeof rows)[number]) => src],
      ['DST_NAMESPACE', (row: (typeof rows)[number]) => row.dst_namespace],
      ['SECURED', ({ secured }: (typeof rows)[number]) => secured],
    ] as const;
    const quiet = rows.map((row) => ({ ...row, message: '' }));
    const narrow = trafficTable(cells, quiet, edgeName, 40);
    expect(Math.max(...narrow.split('\n').map((line) => line.length))).to.be.at.most(40);
    expect(narrow).to.match(/^SRC +egress\.east\nDST_NAMESPACE shop\nSECURED +mTLS→\?\n\nSRC /);
    expect(trafficTable(cells, quiet, edgeName, 60)).to.match(/^SRC +DST_NAMESPACE +SECURED\n/);
    expect(trafficTable(cells, quiet, edgeName, undefined)).to.match(/^SRC +DST_NAMESPACE/);
  });

  // A client of another cluster chooses its identity, a tenant names Services, and a terminal obeys what it
  // reads.
  // A DaemonSet of egress pods with a thousand clients each has as many pairs.
  it('tables have as many rows as there are', () => {
    const rows = edgeRows(both()).slice(0, 1);
    const many = Array.from({ length: 150_000 }, () => rows).flat();
    expect(edgesText(many, false, 60_000).match(/\n/g)).to.have.length.above(150_000);
  });

  it('nobody moves the terminal by the name of a client or a Service', () => {
    const evil = 'web\u001b[2J\u001b]0;owned\u0007\u202e\u001b[8mhidden\u009b1m';
    const reading = readingOf({
      processes: [
        processOf({
          process: 'egress',
          targets: [mirrorOf({ label: `shop/${evil}:80` })],
          flows: [flowOf({ peer: evil, target: `shop/${evil}:80`, failures: 50 })],
        }),
      ],
    });
    const rows = edgeRows([reading]);
    const text = render('table', rows, () => edgesText(rows, true, 60_000));
    // oxlint-disable-next-line no-control-regex -- that is what must not be there
    expect(text).not.to.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    // oxlint-disable-next-line no-control-regex -- as above
    expect(render('json', rows, () => '')).not.to.match(/[\u001b\u0080-\u009f\u202e]/);
  });

  it('numbers with as many digits as they take', () => {
    expect([0, 0.012, 0.5, 12.34, 1204.6, null, undefined].map(rateCell)).to.deep.equal([
      '0',
      '0.01',
      '0.5',
      '12.3',
      '1205',
      '-',
      '-',
    ]);
    expect([0.42, 9.96, 12.4, 9999, 12_345, null].map(timeCell)).to.deep.equal([
      '0.4ms',
      '10.0ms',
      '12ms',
      '9999ms',
      '12.3s',
      '-',
    ]);
    expect([0, 1023, 1024, 5_000_000, 1e18].map(bytesCell)).to.deep.equal([
      '0B',
      '1023B',
      '1.0KiB',
      '4.8MiB',
      '909494.7TiB',
    ]);
    expect([noTraffic(0, 1_800_000), noTraffic(2.1, 60_000)]).to.deep.equal([
      'No traffic in the last 30m.\n',
      'No traffic in the last 2s.\n',
    ]);
  });

  it('advice for reasons and kinds of failures, and none for what is not known', () => {
    expect(adviceFor('failfast')).to.match(/none is ready/);
    expect(adviceFor('NoReadyEndpoints')).to.match(/none is ready/);
    expect(['', 'constructor', 'black hole'].map(adviceFor)).to.deep.equal(['', '', '']);
  });
});

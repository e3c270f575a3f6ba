import { expect } from 'chai';
import { statName, statText } from '../../../../src/cli/output/stat-text.ts';
import { shownRows } from '../../../../src/cli/traffic/show-traffic.ts';
import { clientRows } from '../../../../src/traffic/client-rows.ts';
import { type ClusterReading, withNames } from '../../../../src/traffic/cluster-reading.ts';
import { clusterRows, linkRows } from '../../../../src/traffic/link-traffic-rows.ts';
import { processRows } from '../../../../src/traffic/process-rows.ts';
import { mirrorRows, namespaceRows, serviceRows } from '../../../../src/traffic/service-rows.ts';
import { type Sort, STAT_KINDS, type StatKind, type StatRow } from '../../../../src/traffic/stat-row.ts';
import { expectGolden } from '../../../support/golden.ts';
import { readingOf, serviceOf, twoClusters } from '../../../support/traffic-readings.ts';

const ROWS: Readonly<Record<StatKind, (readings: readonly ClusterReading[]) => StatRow[]>> = {
  svc: serviceRows,
  mirror: mirrorRows,
  ns: namespaceRows,
  link: linkRows,
  gateway: (readings) => processRows(readings, 'gateway'),
  egress: (readings) => processRows(readings, 'egress'),
  client: clientRows,
  cluster: clusterRows,
};

const flags = { failing: false, limit: undefined, namespace: undefined, sort: 'failing' as Sort };
const rowsOf = (kind: StatKind, readings = withNames(twoClusters()), change: Partial<typeof flags> = {}) =>
  shownRows(
    {
      wanted: { services: true, links: true, pods: true, usage: true, silent: false },
      rows: ROWS[kind],
      nameOf: statName,
      namespaceOf: ({ namespace }) => [namespace],
      text: () => '',
    },
    readings,
    { ...flags, ...change },
  );

/** People paste these into tickets and scripts read the JSON: a change is to be seen in review. */
describe('texts of stat', () => {
  for (const kind of STAT_KINDS) {
    it(`${kind}: the table`, () => {
      const how = { wide: false, several: true, windowMs: 60_000 };
      expectGolden(`cli/stat/${kind}.txt`, statText([kind], rowsOf(kind), how));
    });

    it(`${kind}: JSON`, () => {
      expectGolden(`cli/stat/${kind}.json`, `${JSON.stringify(rowsOf(kind), null, 2)}\n`);
    });
  }

  it('mirror, wide: both ends, and where the time goes', () => {
    const rows = rowsOf('mirror');
    const how = { wide: true, several: true, windowMs: 60_000 };
    expectGolden('cli/stat/mirror-wide.txt', statText(['mirror'], rows, how));
    const where = Object.fromEntries(rows.map(({ name, ends }) => [name, ends?.where]));
    expect(where).to.include({ 'web-west': 'endpoint', 'slow-west': 'egress' });
  });

  it('mirror: the time goes in the gateway where most requests wait there for a connection', () => {
    const whereOf = (waits: number) => {
      const [east, west] = twoClusters();
      const gateway = west?.processes.find(({ kind }) => kind === 'gateway');
      const web = gateway?.window?.report.targets.find(({ service }) => service === 'web');
      if (east === undefined || west === undefined || web === undefined) expect.fail();
      Object.assign(web, { waits, waitedMs: waits * 35 });
      return rowsOf('mirror', [east, west]).find(({ name }) => name === 'web-west')?.ends?.where;
    };
    expect([whereOf(20), whereOf(60)]).to.deep.equal(['endpoint', 'gateway']);
  });

  it('says that there was no traffic, and what fails all the same', () => {
    const quiet = [
      readingOf({ services: [serviceOf(), serviceOf({ name: 'api', endpoints: { ready: 0, known: 2 } })] }),
    ];
    const text = (readings: readonly ClusterReading[]) =>
      statText(['svc'], rowsOf('svc', [...readings]), { wide: false, several: false, windowMs: 60_000 });
    expect(text([readingOf()])).to.equal('No traffic in the last 1m.\n');
    expect(text(quiet)).to.match(
      /^NAMESPACE .*\nshop +api .*NoReadyEndpoints\n\n.*\n\nNo traffic in the last 1m\.\n$/,
    );
    expect(text(quiet)).not.to.contain('web');
  });

  it('takes -n, --failing, --limit and --sort', () => {
    const names = (change: Partial<typeof flags>) =>
      rowsOf('mirror', undefined, change).map(({ name }) => name);
    const own = { failing: true } as const;
    expect(names(own)).to.deep.equal(['web-west', 'api-west', 'long-west']);
    expect(names({ sort: 'name' })).to.deep.equal([
      'api-west',
      'cart-federated@west',
      'idle-west',
      'long-west',
      'slow-west',
      'web-west',
    ]);
    expect(names({ sort: 'p99', limit: 2 } as never)).to.deep.equal(['api-west', 'slow-west']);
    expect(names({ sort: 'success', limit: 1 } as never)).to.deep.equal(['api-west']);
    expect(names({ sort: 'rps', limit: 1 } as never)).to.deep.equal(['web-west']);
    expect(names({ namespace: 'other' } as never)).to.deep.equal([]);
  });
});

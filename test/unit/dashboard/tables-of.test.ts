import { expect } from 'chai';
import type { StatsPoint } from '../../../src/api/answers/stats-report.ts';
import { adviceFor } from '../../../src/cli/output/failure-advice.ts';
import type { ClusterFacts, ContextPicture, LinkDetail } from '../../../src/dashboard/cluster-facts.ts';
import { applyDelta, emptyTables, type Tables } from '../../../src/dashboard/snapshot.ts';
import { changesOf } from '../../../src/dashboard/table-changes.ts';
import { TableMaker } from '../../../src/dashboard/tables-of.ts';
import type { ClusterReading } from '../../../src/traffic/cluster-reading.ts';
import { gatewayOf, mirrorOf, processOf, readingOf, twoClusters } from '../../support/traffic-readings.ts';

const NOW = Date.UTC(2026, 10, 30, 12);
const SINCE = '2026-11-30T11:00:00Z';

function detailOf(name: string, change: Partial<LinkDetail> = {}): LinkDetail {
  const good = { status: 'True', reason: 'Accepted', message: '', since: SINCE };
  const conditions = { CredentialsValid: good, GatewayAlive: { ...good, reason: 'ProbesAnswered' } };
  return { name, cluster: name, gateway: '10.0.0.1', conditions, keptBy: null, importPolicy: {}, ...change };
}

function factsOf(reading: ClusterReading, change: Partial<ClusterFacts> = {}): ClusterFacts {
  const links = reading.links.map(({ name }) => detailOf(name));
  return { reading, links, unread: [], controller: 'ok', recent: [], ...change };
}

function pictureOf(context: string, facts: ClusterFacts | undefined, change: Partial<ContextPicture> = {}) {
  const namespace = 'linkerd-multicluster';
  const state = facts === undefined ? 'loading' : 'ok';
  const at = facts === undefined ? null : NOW;
  return { context, namespace, state, at, facts, error: null, role: null, ...change } as ContextPicture;
}

/** `ctx-east` asks for what `ctx-west` exports, as `twoClusters` has it. */
function both(east: Partial<ClusterFacts> = {}): ContextPicture[] {
  const [one, other] = twoClusters();
  if (one === undefined || other === undefined) throw new Error('there are two');
  return [pictureOf('ctx-east', factsOf(one, east)), pictureOf('ctx-west', factsOf(other))];
}

const tablesOf = (...pictures: ContextPicture[]) => new TableMaker(adviceFor).tables(pictures, NOW);
const cardsOf = ({ cards }: Tables) =>
  Object.values(cards).map(({ kind, context, name, reason }) => [kind, context, name, reason].join(' '));

describe('the tables of a page', () => {
  it('have each mirror with both ends, and no Service twice', () => {
    const { mirrors, services, nodes, mapEdges } = tablesOf(...both());
    const web = mirrors['ctx-east/shop/web-west'];
    expect(web).to.include({ source: 'ctx-east', cluster: 'west', context: 'ctx-east', failing: true });
    expect(web?.ends?.where).to.equal('endpoint');
    expect(Object.keys(services).filter((key) => key.startsWith('ctx-east'))).to.deep.equal([
      'ctx-east/egress/shop/cart-federated',
    ]);
    expect(services['ctx-west/gateway/shop/web']).to.include({ exported: true, context: 'ctx-west' });
    // West is called so by the Link of the other.
    expect(nodes['west']).to.include({ context: 'ctx-west', gateways: 1, services: 3 });
    expect(nodes['north']).to.include({ context: null, failing: true, gateways: null });
    expect(mapEdges['ctx-east/west']).to.include({ source: 'ctx-east', target: 'west', rtt_ms: 20 });
  });

  it('have signals of each end, once for all', () => {
    const { signals, contexts } = tablesOf(...both());
    const rps = (key: string) => signals[key]?.rps;
    // What members of a federated Service got is counted in the Service.
    expect(rps('ctx-east/egress')).to.equal(15.8);
    expect(rps('/egress')).to.equal(rps('ctx-east/egress'));
    expect(rps('/gateway')).to.equal(rps('ctx-west/gateway'));
    expect(contexts['ctx-east']).to.include({ asked: 2, answered: 1, links: 2, traffic: true });
  });

  it('are made of the same rows where nothing new was read', () => {
    const maker = new TableMaker(adviceFor);
    const pictures = both();
    const before = maker.tables(pictures, NOW);
    const after = maker.tables(pictures, NOW + 2000);
    expect(changesOf(before, after)).to.equal(undefined);
    expect(after.edges['x']).to.equal(before.edges['x']);
    const [first] = Object.keys(before.edges);
    expect(after.edges[first ?? '']).to.equal(before.edges[first ?? '']);
  });

  it('come to the same by deltas', () => {
    const maker = new TableMaker(adviceFor);
    const before = maker.tables(both(), NOW);
    const [east] = both();
    if (east?.facts === undefined) throw new Error('it is known');
    const [gone, ...processes] = east.facts.reading.processes;
    expect(gone?.name).to.equal('egress-0');
    const facts = factsOf({ ...east.facts.reading, processes });
    const after = maker.tables([pictureOf('ctx-east', facts)], NOW);
    const changes = changesOf(before, after);
    expect(changes?.processes?.gone).to.include('ctx-east/egress-0');
    expect(applyDelta(before, { changes: changes ?? {} })).to.deep.equal(after);
    expect(applyDelta(emptyTables(), { changes: changesOf(emptyTables(), after) ?? {} })).to.deep.equal(
      after,
    );
  });

  it('have a Link with what the API server, controllers and egress pods say of it', () => {
    const [east, west] = both();
    if (east?.facts === undefined || west === undefined) throw new Error('they are known');
    const { reading } = east.facts;
    const probe = { address: '10.0.0.1', state: 'alive', message: '', latencyMs: 3, since: 1 } as const;
    const reports = reading.reports.map((report) => ({
      ...report,
      lastWordSeconds: 4,
      credentialsExpireAt: SINCE,
      gateway: { path: 'alive', addresses: [probe] },
    }));
    const { links } = tablesOf(pictureOf('ctx-east', factsOf({ ...reading, reports })), west);
    const link = links['ctx-east/west'];
    expect(link).to.include({ address: '10.0.0.1', lastWordAt: NOW - 4000, credentialsExpireAt: SINCE });
    expect(link?.conditions.map(({ type, status, since }) => [type, status, since])).to.deep.equal([
      ['CredentialsValid', 'True', SINCE],
      ['APIReachable', 'Unknown', null],
      ['GatewayAlive', 'True', SINCE],
      ['Synced', 'Unknown', null],
    ]);
    expect(link?.probes).to.deep.equal([probe]);
    expect(link?.trunks.map(({ address, state, rtt_ms }) => [address, state, rtt_ms])).to.deep.equal([
      ['10.0.0.1:4143', 'alive', 20],
      ['10.0.0.2:4143', 'dead', 20],
    ]);
    expect(link?.reasons).to.deep.equal({
      Mirrored: 2,
      NoReadyEndpoints: 1,
      NameTooLong: 1,
      ImportNameRefused: 1,
    });
  });
});

describe('what fails, on a page', () => {
  it('is a card for each cause: a mirror that fails over there is counted in that one', () => {
    const tables = tablesOf(...both());
    expect(cardsOf(tables)).to.deep.equal([
      'link ctx-east north CredentialsExpired',
      'certificate ctx-west gateway-0 CertificateExpiring',
      'process ctx-east egress-1 ProcessSilent',
      'process ctx-east controller-0 ProcessNotReady',
      'service ctx-west web ServerErrors',
      'service ctx-west api NoReadyEndpoints',
      'mirror ctx-east long-west NameTooLong',
    ]);
    const web = tables.cards['ctx-west/service/shop/web'];
    expect(web).to.include({ mirrors: 1, sinceBy: 'seen', since: NOW });
    expect(web?.firstMirrors).to.deep.equal(['shop/web-west']);
    expect(tables.cards['ctx-east/mirror/shop/long-west']).to.include({
      since: Date.parse('2026-11-30T00:00:00Z'),
      sinceBy: 'told',
      command: 'linkspan explain svc long-west -n shop --context ctx-east',
    });
  });

  it('is one card of a gateway that is dead, with its mirrors, since when the Link says', () => {
    const dead = { status: 'False', reason: 'ProbesFailed', message: 'none answers', since: SINCE };
    const [east] = twoClusters();
    if (east === undefined) throw new Error('there are two');
    const [egress] = east.processes;
    const report = { ...east.reports[0], link: 'mc/west', cluster: 'west', held: true };
    const mirrors = (report.mirrors ?? []).map((one) => ({ ...one, reason: 'GatewayDead' as const }));
    const reading = {
      ...east,
      processes: egress === undefined ? [] : [egress],
      links: [{ name: 'west', cluster: 'west', mirrors: 4, trouble: dead }],
      reports: [{ ...report, mirrors }],
    };
    const links = [detailOf('west', { conditions: { GatewayAlive: dead } })];
    const { cards } = tablesOf(pictureOf('ctx-east', factsOf(reading, { links })));
    const all = Object.values(cards);
    expect(all).to.have.length(1);
    expect(all[0]).to.include({
      kind: 'gateway',
      name: 'west',
      to: 'west',
      reason: 'ProbesFailed',
      mirrors: 5,
      since: Date.parse(SINCE),
      command: 'linkspan gateways -o wide --context ctx-east',
    });
    expect(all[0]?.advice).to.not.equal('');
  });

  it('is a card of an address that is dead where others live, and none of a Link that only carries failures', () => {
    const failing = { requests: 100, responses: 100, failures: 50 };
    const reading = readingOf({
      processes: [processOf({ process: 'egress', targets: [mirrorOf(failing)], gateways: [gatewayOf()] })],
      links: [{ name: 'west', cluster: 'west', mirrors: 1 }],
      reports: [
        {
          link: 'mc/west',
          cluster: 'west',
          held: true,
          gateway: {
            path: 'alive',
            addresses: [{ address: '10.0.0.2', state: 'dead', reason: 'Timeout', message: 'late', since: 7 }],
          },
        },
      ],
    });
    const tables = tablesOf(pictureOf('east', factsOf(reading)));
    expect(tables.links['east/west']).to.include({ failing: true, reason: 'ServerErrors' });
    expect(cardsOf(tables)).to.deep.equal([
      'gateway east 10.0.0.2 Timeout',
      'mirror east web-west ServerErrors',
    ]);
  });

  it('is a card of a cluster that is away, with since when', () => {
    const error = { code: 'KUBE_UNREACHABLE', message: 'nobody there', advice: 'look' };
    const [east] = both();
    const away = pictureOf('b $(reboot)', undefined, { state: 'unreachable', error });
    const { cards, nodes } = tablesOf({ ...(east as ContextPicture), state: 'unreachable', error }, away);
    expect(cards['ctx-east/cluster//ctx-east']).to.include({
      reason: 'KUBE_UNREACHABLE',
      since: NOW,
      sinceBy: 'told',
    });
    // People copy it into a shell.
    expect(cards['b $(reboot)/cluster//b $(reboot)']?.command).to.equal(
      `kubectl get --raw /readyz --context 'b $(reboot)'`,
    );
    expect(nodes['b $(reboot)']).to.include({ context: 'b $(reboot)', failing: true });
  });

  it('keeps since when it was seen, and what it carried, until it is over', () => {
    const maker = new TableMaker(adviceFor);
    const key = 'ctx-west/service/shop/web';
    maker.tables(both(), NOW);
    const later = maker.tables(both(), NOW + 60_000);
    expect(later.cards[key]?.since).to.equal(NOW);
    maker.tables([], NOW + 61_000);
    expect(maker.tables(both(), NOW + 62_000).cards[key]?.since).to.equal(NOW + 62_000);
  });
});

describe('the last half hour of everything', () => {
  it('is a minute for each step, added up over pods', () => {
    const label = 'shop/web-west:80';
    const step = (at: number, ms: number, requests: number, p99Ms: number, failures = 0): StatsPoint => ({
      at,
      ms,
      targets: [{ label, requests, responses: requests, failures, errors: 0, p99Ms }],
    });
    const minute = 60_000;
    const recent = [
      {
        pod: 'egress-0',
        side: 'egress',
        points: [step(NOW - minute, minute, 600, 5), step(NOW + 10_000, 10_000, 10, 9)],
      },
      { pod: 'egress-1', side: 'egress', points: [step(NOW - minute - 3000, minute, 60, 50, 60)] },
      { pod: 'egress-2', side: 'egress', points: [step(NOW - 31 * minute, minute, 60, 50)] },
    ] as const;
    const { sparks } = tablesOf(...both({ recent }));
    const spark = sparks['ctx-east/egress/mirror/shop/web-west'];
    if (spark === undefined) throw new Error('there is none');
    expect(spark.at).to.have.length(30);
    expect(spark.at.at(-1)).to.equal(NOW / 1000 + 60);
    expect(spark.rps.slice(-3)).to.deep.equal([11, null, 1]);
    expect(spark.success.slice(-3)).to.deep.equal([0.909091, null, 1]);
    expect(spark.p99.slice(-3)).to.deep.equal([5, null, 9]);
    expect(sparks['ctx-east/egress/link//west']?.rps).to.deep.equal(spark.rps);
    expect(sparks['ctx-east/egress/all//']?.rps).to.deep.equal(spark.rps);
  });
});

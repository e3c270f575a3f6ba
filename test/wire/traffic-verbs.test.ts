import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { EdgeRow } from '../../src/traffic/edge-rows.ts';
import type { ProxyRow } from '../../src/traffic/proxy-rows.ts';
import type { StatRow } from '../../src/traffic/stat-row.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { bothIn, podOf, startTrafficBed, type TrafficBed, WEB } from '../support/traffic-bed.ts';

const LINKSPAN = path.join(import.meta.dirname, '../../bin/linkspan.js');

// Somebody is called at night because a shop is slow, and has a kubeconfig and nothing else. What the verbs
// say comes from real processes under traffic, through what API servers do with `pods/proxy`.
describe('verbs that show traffic', () => {
  let tempDir = '';
  const closed = closedIn(after);
  let bed: TrafficBed;

  before(async function () {
    tempDir = closed(await mkdtemp(path.join(tmpdir(), 'linkspan-verbs-')), (dir) =>
      rm(dir, { recursive: true, force: true }),
    );
    bed = await startTrafficBed(tempDir, closed);
  });

  const verb = async (...args: string[]) => {
    const contexts = args.includes('--context') ? [] : ['--context', 'east', '--context', 'west'];
    const outcome = await keptLinkspan(...args, '--kubeconfig', bed.kubeconfig, ...contexts, '-t', '2s');
    return { ...outcome, rows: <T>() => JSON.parse(outcome.stdout) as T[] };
  };

  it('stat: both ends of what passes, and nothing fails', async () => {
    const { rows, code, stderr } = await verb('stat', '-o', 'json');
    // Nobody says why a mirror is as it is; that is told, and the answer is no less whole.
    expect(stderr).to.match(/^linkspan: not read: east: no Linkspan controller answers [^\n]*\n$/);
    expect(code).to.equal(0);
    const found = rows<StatRow>();
    expect(found.map(({ name, side, failing }) => [name, side, failing])).to.have.deep.members([
      [WEB, 'egress', false],
      ['web', 'gateway', false],
    ]);
    for (const { success, rps, latency_ms_p99: p99, window_s: seconds } of found) {
      expect(success).to.equal(1);
      expect(rps).to.be.above(1);
      expect(p99).to.be.above(0);
      expect(seconds).to.be.within(0.01, 60);
    }
  });

  it('nothing fails is not said as no traffic, and a name that is not there is no name that is well', async () => {
    for (const verbs of [['stat'], ['edges'], ['proxies']]) {
      const { stdout, code } = await verb(...verbs, '--failing', '--exit-code');
      expect([code, stdout]).to.deep.equal([0, 'Nothing fails of what was heard.\n']);
    }
    const { code, stderr, rows } = await verb('stat', 'svc/web', 'svc/wbe', '-o', 'json');
    expect(code).to.equal(3);
    expect(stderr).to.contain('linkspan: there is no svc/wbe\n');
    expect(rows<StatRow>().map(({ name }) => name)).to.deep.equal(['web']);
  });

  it('stat mirror -o wide joins both ends by the UID of the Service, and says where the time goes', async () => {
    const { stdout, code } = await verb('stat', 'mirror', '-o', 'wide');
    expect(code).to.equal(0);
    expect(stdout).to.match(/EGRESS_P99 +GATEWAY_P99 +RTT +WHERE/);
    expect(stdout).to.match(
      /ms +\d\S*ms +\S+ +(endpoint|network|egress) +this|(endpoint|network|egress) +east/,
    );
  });

  it('a fault is seen within 3 s, with why and what to do, and 4 as exit code', async () => {
    bed.asking.path = '/status/503';
    const begun = performance.now();
    for (;;) {
      const { stdout, code } = await verb('stat', '--failing', '--exit-code');
      if (code !== 4) {
        expect(code).to.equal(0);
        continue;
      }
      expect(stdout).to.match(/^demo +\S+ .* ServerErrors$/m);
      expect(stdout).to.match(
        /ServerErrors: \S+% of \d+ requests succeed, 99\.9% are expected → Look at the pods/,
      );
      break;
    }
    // The promise is 3 s of a machine of its own; here it is that one look is enough.
    expect(performance.now() - begun).to.be.below(30_000);
    const { rows } = await verb('edges', '-o', 'json');
    const edges = rows<EdgeRow>().filter(({ failing }) => failing);
    expect(edges.map(({ src, dst, via, secured }) => [src, dst, via, secured])).to.have.deep.members([
      ['front-1', WEB, 'egress', 'plain→mTLS→?'],
      ['egress.east', 'web', 'gateway', 'mTLS→?'],
    ]);
  });

  it('proxies: every pod; one that is silent is named, and makes the answer partial', async () => {
    await bed.west.apply([podOf('gateway', 1, 'gateway-1')]);
    const { rows, code, stderr } = await verb('proxies', '-o', 'json');
    expect(code).to.equal(3);
    expect(stderr).to.match(/^linkspan: no answer from west\/gateway-1: /);
    const reasons = rows<ProxyRow>().map(({ name, reason, restarts }) => [name, reason, restarts]);
    expect(reasons[0]).to.deep.equal(['gateway-1', 'ProcessSilent', 1]);
    expect(reasons).to.deep.include(['egress-0', '', 1]);
    const { rows: others } = await verb('stat', 'gateway', '-o', 'json');
    expect(others<StatRow>().map(({ name, from }) => [name, from.answered])).to.have.deep.members([
      ['gateway-0', 1],
      ['gateway-1', 0],
    ]);
  });

  it('a cluster that is away is named, and the others are shown; none is an error', async () => {
    const gone = bothIn(tempDir, bed.east, { name: 'west', server: 'http://127.0.0.1:1' });
    const of = (...contexts: string[]) =>
      keptLinkspan(
        'stat',
        '--kubeconfig',
        gone,
        '--timeout',
        '5s',
        '-t',
        '1s',
        ...contexts.flatMap((one) => ['--context', one]),
      );
    const partial = await of('east', 'west');
    expect(partial.code).to.equal(3);
    expect(partial.stderr).to.match(/^linkspan: no answer from west: \[KUBE_/);
    expect(partial.stdout).to.contain(WEB);
    const none = await of('west');
    expect([none.code, none.stdout]).to.deep.equal([1, '']);
  });

  it('without the right to ask pods, the ClusterRole that is missing is named', async () => {
    bed.east.podsForbidden = true;
    try {
      const { code, stderr } = await verb('stat', '--context', 'east');
      expect(code).to.equal(1);
      expect(stderr).to.match(/^linkspan: \[STATS_FORBIDDEN\] east: .*`linkspan-view`/);
    } finally {
      bed.east.podsForbidden = false;
    }
  });

  it('-w goes on until it is told to end, and ends quietly when nobody reads any more', async () => {
    const flags = [
      '-w',
      '250ms',
      '-t',
      '1s',
      '-o',
      'json',
      '--kubeconfig',
      bed.kubeconfig,
      '--context',
      'east',
    ];
    const watched = spawn(process.execPath, [LINKSPAN, 'stat', ...flags]);
    const ended = once(watched, 'exit');
    let [stdout, stderr] = ['', ''];
    watched.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    watched.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    await eventually('three readings are there', () => stdout.split('\n').length > 3);
    watched.stdout.destroy();
    expect(await ended).to.deep.equal([0, null]);
    for (const line of stdout.trim().split('\n')) expect(JSON.parse(line)).to.have.length(1);
    expect(stderr).not.to.match(/EPIPE|Error/);
  });

  for (const [args, told] of [
    [['stat', 'svcs'], /there is no kind "svcs" \(did you mean "svc"\?\)/],
    [['stat', 'constructor'], /there is no kind "constructor"/],
    [['stat', '-t', '1h'], /--window.*must be from 1s to 30m/],
    [['stat', '-w', '1ms'], /--watch.*must be 250ms or longer/],
    [['stat', '--limit', '0'], /--limit/],
    [['routes'], /missing required argument/],
  ] as const)
    it(`${args.join(' ')} is a usage error`, async () => {
      const { code, stderr } = await keptLinkspan(...args);
      expect(code).to.equal(2);
      expect(stderr).to.match(told);
    });
});

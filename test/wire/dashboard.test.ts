import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ErrorAnswer, ReasonsAnswer, ServiceAnswer, TopEvent } from '../../src/dashboard/answers.ts';
import type { Tables } from '../../src/dashboard/snapshot.ts';
import type { StatRow } from '../../src/traffic/stat-row.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { addressLine } from '../support/address-line.ts';
import { PageReader, type StreamEvent, tablesAfter } from '../support/page-reader.ts';
import { bothIn, startTrafficBed, type TrafficBed, WEB } from '../support/traffic-bed.ts';

const LINKSPAN = path.join(import.meta.dirname, '../../bin/linkspan.js');

// The same as the verbs say, from the same processes, to whoever has opened the address that was printed.
describe('linkspan dashboard', () => {
  const closed = closedIn(after);
  let bed: TrafficBed;
  let dir = '';
  let page: PageReader;
  let looking: { readonly events: readonly StreamEvent[]; readonly close: () => void };

  before(async () => {
    dir = closed(await mkdtemp(path.join(tmpdir(), 'linkspan-dashboard-')), (one) =>
      rm(one, { recursive: true, force: true }),
    );
    bed = await startTrafficBed(dir, closed);
    page = (await open(bed.kubeconfig, 'east', 'west')).reader;
    looking = closed(await page.stream('/events'), ({ close }) => close());
  });

  /** Starts it as a user does, and is let in. */
  async function open(kubeconfig: string, ...contexts: string[]) {
    const flags = ['--kubeconfig', kubeconfig, ...contexts.flatMap((one) => ['--context', one])];
    const child = spawn(process.execPath, [
      LINKSPAN,
      'dashboard',
      '--port',
      '0',
      '--no-open',
      '-t',
      '10s',
      ...flags,
    ]);
    closed(child, end);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const line = await addressLine(child);
    expect(line).to.match(/^http:\/\/127\.0\.0\.1:\d+\/\?key=[\w-]{32}\n$/);
    return { child, stderr: () => stderr, reader: await PageReader.enter(line.trim()) };
  }

  async function end(child: ChildProcess): Promise<unknown> {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    return (await ended)[0];
  }

  /** The tables, when they are so. */
  const shown = (what: string, is: (tables: Tables) => unknown) =>
    eventually(what, () => {
      const tables = tablesAfter(looking.events);
      return is(tables) ? tables : undefined;
    });

  it('shows what the verbs say: contexts, both ends of a mirror, who asks, processes', async () => {
    const tables = await shown('both clusters', ({ mirrors }) => Object.values(mirrors)[0]?.ends);
    expect(Object.keys(tables.contexts)).to.deep.equal(['east', 'west']);
    const { east } = tables.contexts;
    expect(east).to.include({ asked: 1, answered: 1, traffic: true, controller: 'absent' });
    const both = ['--kubeconfig', bed.kubeconfig, '--context', 'east', '--context', 'west'];
    const { stdout } = await keptLinkspan('stat', 'mirror', '-o', 'json', ...both);
    const [told] = JSON.parse(stdout) as StatRow[];
    const [mirror] = Object.values(tables.mirrors);
    const { from: _from, window_s: _seconds, ...keys } = told ?? {};
    expect(mirror).to.have.all.keys(...Object.keys(keys), 'context');
    expect(mirror).to.include({ context: 'east', name: WEB, cluster: 'west', failing: false, success: 1 });
    expect(
      Object.values(tables.services).map(({ context, name, exported }) => [context, name, exported]),
    ).to.deep.equal([['west', 'web', true]]);
    expect(Object.values(tables.edges).map(({ src, dst, via }) => [src, dst, via])).to.have.deep.members([
      ['front-1', WEB, 'egress'],
      ['egress.east', 'web', 'gateway'],
    ]);
    expect(Object.values(tables.processes).map(({ name }) => name)).to.have.members([
      'egress-0',
      'gateway-0',
    ]);
    expect(tables.nodes).to.have.all.keys('east', 'west');
    expect(tables.signals['/egress']?.rps).to.be.above(1);
  });

  it('answers what is asked for besides, and says what it may not show', async () => {
    const { body: reasons } = await page.json('/api/reasons.json');
    expect((reasons as ReasonsAnswer).reasons.map(({ reason }) => reason)).to.include('GatewayDead');
    const asked = await page.json('/api/service.json?context=west&namespace=demo&name=web');
    const service = asked.body as ServiceAnswer;
    expect(service.ports).to.deep.equal([{ name: '', port: 80, protocol: 'TCP' }]);
    expect(service.unread).to.have.length(1);
    const unknown = await page.json('/api/service.json?context=north&namespace=demo&name=web');
    expect([unknown.status, (unknown.body as ErrorAnswer).error.code]).to.deep.equal([400, 'CONFIG_INVALID']);
    expect((await page.json('/api/history/table.json?kind=service&range=1h')).status).to.equal(404);
  });

  it('asks for a token when somebody looks at requests, and tells why there is none', async () => {
    const tap = closed(await page.stream('/live/tap?context=east&failures=true'), ({ close }) => close());
    await eventually('it is refused', () => tap.events.length > 0);
    expect(tap.events[0]?.event).to.equal('refused');
    expect(tap.events[0]?.data).to.have.nested.property('error.code', 'TAP_REFUSED');
    const wrong = closed(await page.stream('/live/tap?context=east&status=9xx'), ({ close }) => close());
    await eventually('it is refused', () => wrong.events.length > 0);
    expect(wrong.events[0]?.data)
      .to.have.nested.property('error.message')
      .that.matches(/^status/);
    const top = closed(await page.stream('/live/top'), ({ close }) => close());
    await eventually(
      'pairs',
      () => Object.keys((top.events.at(-1)?.data as TopEvent | undefined)?.rows ?? {}).length === 2,
    );
  });

  it('keeps what was seen of a cluster that may not be asked any more, with the role that is missing', async () => {
    const before = await shown('it is fine', ({ contexts }) => contexts['east']?.error === null);
    bed.east.podsForbidden = true;
    try {
      const { contexts, mirrors } = await shown(
        'it is not',
        (tables) => tables.contexts['east']?.state === 'forbidden',
      );
      expect(contexts['east']).to.include({ role: 'linkspan-view' });
      expect(contexts['east']?.at).to.be.at.least(before.contexts['east']?.at ?? Infinity);
      expect(contexts['west']?.state).to.equal('ok');
      expect(Object.keys(mirrors)).to.deep.equal(Object.keys(before.mirrors));
    } finally {
      bed.east.podsForbidden = false;
    }
    await shown('it is fine again', ({ contexts }) => contexts['east']?.error === null);
  });

  it('shows the clusters that answer where another is away, and nobody is asked when nobody looks', async () => {
    const gone = bothIn(dir, bed.west, { name: 'north', server: 'http://127.0.0.1:1' });
    const { child, reader } = await open(gone, 'west', 'north');
    // A program that only asks once is told how it is now, too.
    const { body } = await reader.json('/api/contexts.json');
    expect((body as { rows: Tables['contexts'] }).rows['west']).to.include({ state: 'ok', answered: 1 });
    const other = await reader.stream('/events');
    await eventually('it is known', () => {
      const { contexts } = tablesAfter(other.events);
      return contexts['west']?.state === 'ok' && contexts['north']?.state === 'unreachable';
    });
    const { contexts, cards } = tablesAfter(other.events);
    expect(contexts['north']?.error?.code).to.match(/^KUBE_/);
    expect(Object.values(cards).map(({ kind, name }) => [kind, name])).to.deep.equal([['cluster', 'north']]);
    other.close();
    expect(await end(child)).to.equal(0);
  });

  it('says that its port is taken, and what it does not know', async () => {
    const { port } = new URL(bed.west.server);
    const taken = await keptLinkspan(
      'dashboard',
      '--no-open',
      '--port',
      port,
      '--kubeconfig',
      bed.kubeconfig,
      '--context',
      'west',
    );
    expect([taken.code, taken.stdout]).to.deep.equal([1, '']);
    expect(taken.stderr).to.match(/^linkspan: \[PORT_IN_USE\] /);
    for (const [flags, told] of [
      [['--port', '70000'], /--port.*must be from 0 to 65535/],
      [['--prometheus', 'nowhere'], /--prometheus: "nowhere" is neither a URL nor/],
      [['-t', '1h'], /--window.*must be from 1s to 30m/],
    ] as const) {
      const wrong = await keptLinkspan(
        'dashboard',
        '--no-open',
        '--kubeconfig',
        bed.kubeconfig,
        '--context',
        'west',
        ...flags,
      );
      expect(wrong.code, flags.join(' ')).to.equal(2);
      expect(wrong.stderr).to.match(told);
    }
  });

  it('shows a fault within a few seconds, as one card that says what to do', async () => {
    bed.asking.path = '/status/503';
    const { cards } = await shown('a card', (tables) =>
      Object.values(tables.cards).some(({ kind }) => kind === 'service'),
    );
    const card = Object.values(cards).find(({ kind }) => kind === 'service');
    expect(card).to.include({ context: 'west', namespace: 'demo', name: 'web', reason: 'ServerErrors' });
    expect(card?.advice).to.match(/^Look at the pods/);
    expect(card?.command).to.equal('linkspan tap svc/web -n demo --failures --context west');
    expect(card?.sinceBy).to.equal('seen');
    // The mirror fails by it: it is counted there, and has no card of its own.
    const { cards: all } = await shown(
      'the mirror',
      (tables) => Object.values(tables.cards)[0]?.mirrors === 1,
    );
    expect(Object.values(all).filter(({ kind }) => kind === 'mirror')).to.deep.equal([]);
  });
});

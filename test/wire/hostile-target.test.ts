import { expect } from 'chai';
import path from 'node:path';
import { eventually } from '../support/eventually.ts';
import { type HostileApi, healthyApi, hostileApi, type Hostility } from '../support/hostile-api.ts';
import type { PeersLine } from '../support/peers-program.ts';
import { RuntimeProcess } from '../support/runtime-process.ts';

const PROGRAM = path.join(import.meta.dirname, '../support/peers-program.ts');
/** What a container of 512 MiB leaves a Node process by default. */
const HEAP_MIB = 256;
/** The container's limit, less what others in it take. */
const MAX_RSS_MIB = 450;
/** Reports that are waited for once the Link is parked: a tenth of a second each. */
const REPORTS = 15;
/** For what has to happen at all, on a machine that has other things to do. */
const PATIENCE_MS = 120_000;
/** How long a change of the healthy cluster may take, milliseconds. */
const IN_TIME_MS = 5000;

class Peers extends RuntimeProcess {
  readonly #lines: PeersLine[] = [];
  /** How much of the log they are. */
  #read = 0;

  constructor(...targets: string[]) {
    super('node', [`--max-old-space-size=${HEAP_MIB}`, PROGRAM, ...targets], 0);
  }

  /** All that it has said until now, each line read once. */
  get lines(): readonly PeersLine[] {
    const end = this.log.lastIndexOf('\n');
    if (end >= this.#read) {
      for (const line of this.log.slice(this.#read, end).split('\n'))
        this.#lines.push(JSON.parse(line) as PeersLine);
      this.#read = end + 1;
    }
    return this.#lines;
  }

  /** Waits for a line of which `is` is true. */
  line(what: string, is: (line: PeersLine) => boolean): Promise<PeersLine> {
    const seen = () => {
      if (this.gone) throw new Error(`it ended: ${this.log.slice(-2000)}`);
      return this.lines.findLast(is);
    };
    return eventually(what, seen, { timeoutMs: PATIENCE_MS });
  }
}

/**
 * A target whose API server means harm took the controller's memory (an endless body: 2.2 GB in half a
 * minute, outside of the heap; endless pages: 589 MB), and with it every other Link and the signer of
 * certificates. Each case is a controller's peers with a heap of 256 MiB, one target that is hostile and one
 * that is in order.
 */
describe('a target whose API server is hostile', function () {
  const cases: readonly [Hostility, string | undefined][] = [
    ['endless body', 'services'],
    ['endless value', 'answer'],
    ['endless pages', 'pages'],
    ['10^6 Services', 'services'],
    ['values without end', 'answer'],
    ['slow body', 'answer'],
    ['200 changes a second', undefined],
    ['new lists without end', undefined],
  ];
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  async function start(
    ...hostilities: Hostility[]
  ): Promise<{ peers: Peers; change: (port: number) => void; apis: readonly HostileApi[] }> {
    const healthy = await healthyApi();
    closing.push(() => healthy.close());
    const targets = [`healthy=${healthy.url}`];
    const apis: HostileApi[] = [];
    for (const [at, hostility] of hostilities.entries()) {
      const api = await hostileApi(hostility);
      closing.push(() => api.close());
      apis.push(api);
      targets.unshift(`hostile-${at}=${api.url}`);
    }
    const peers = new Peers(...targets);
    closing.push(() => peers.kill());
    return { peers, change: (port) => healthy.change(port), apis };
  }

  /** The healthy Link has its mirrors, gets its changes in time, and the memory stays bounded. */
  async function othersGoOn(peers: Peers, change: (port: number) => void): Promise<void> {
    await peers.line('the healthy Link has its mirrors', (line) => line.peers['healthy']?.mirrors === 10);
    const seen = peers.lines.length;
    change(8080);
    const updated = () => peers.lines.at(-1)?.peers['healthy']?.ports.every((port) => port === 8080) === true;
    await eventually('the healthy Link is up to date', updated, { timeoutMs: IN_TIME_MS });
    await eventually('it goes on', () => peers.lines.length > seen + REPORTS);
    const rss = Math.max(...peers.lines.map((line) => line.rss));
    expect(rss).to.be.below(MAX_RSS_MIB);
  }

  for (const [hostility, budget] of cases) {
    it(`${hostility}: ${budget === undefined ? 'is taken in' : 'is parked'}, the others go on`, async () => {
      const { peers, change } = await start(hostility);
      if (budget === undefined)
        await peers.line('it is taken in', (line) => line.peers['hostile-0']?.synced === true);
      else await peers.line('it is parked', (line) => line.peers['hostile-0']?.over === budget);
      await othersGoOn(peers, change);
      const last = peers.lines.at(-1)?.peers['hostile-0'];
      expect(last?.over).to.equal(budget);
      // A watch that never holds is a fault of the API; what does not fit is none.
      if (hostility !== 'new lists without end') expect(last?.apiError).to.equal(undefined);
    });
  }

  // Each change was written as it came: the source's API server, and the Links that waited for their turn
  // with it, paid for a target that never holds still.
  it('200 changes a second: are written as slowly as one Link may, however many there are', async () => {
    const { peers, apis } = await start('200 changes a second');
    const [api] = apis;
    // A hundred mirrors with a slice each, and as many changes as may come at once (peers-program.ts: 400,
    // then one a second).
    await peers.line('what may come at once is written', (line) => line.writes > 400);
    const [writes, changes, began] = [peers.lines.at(-1)?.writes ?? 0, api?.changes ?? 0, performance.now()];
    await eventually('600 more changes have been told', () => (api?.changes ?? 0) > changes + 600, {
      timeoutMs: PATIENCE_MS,
    });
    const seconds = (performance.now() - began) / 1000;
    // Those of the healthy Link are twenty.
    expect((peers.lines.at(-1)?.writes ?? 0) - writes).to.be.below(60 + 2 * seconds);
    expect(peers.lines.at(-1)?.peers['hostile-0']?.over).to.equal(undefined);
  });

  it('all of them at once: all are parked, the others go on', async () => {
    const { peers, change } = await start(...cases.map(([hostility]) => hostility));
    const expected = cases.map(([, budget]) => budget);
    // Together they want more than all may have, so that one of them may be parked for that before it is over
    // a budget of its own.
    await peers.line('they are parked', (line) =>
      expected.every((budget, at) => [budget, 'total'].includes(line.peers[`hostile-${at}`]?.over)),
    );
    expect(peers.lines.some((line) => line.peers['healthy']?.over !== undefined)).to.equal(false);
    await othersGoOn(peers, change);
  });
});

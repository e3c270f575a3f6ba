import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { MAX_DEMANDS } from '../../../../src/api/answers/demand-report.ts';
import { MAX_TRUNKS, type TrunkReport } from '../../../../src/api/answers/trunk-report.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { askEgress, EgressEvidence } from '../../../../src/controllers/gateway-health/egress-evidence.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { closedIn } from '../../../support/closed-in.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const row = (n: number, more: object = {}): TrunkReport =>
  ({
    gateway: `10.0.0.1:${n}`,
    identity: 'gw',
    state: 'dead',
    sinceMs: 0,
    attempts: 3,
    ...more,
  }) as TrunkReport;

describe('the question to an egress pod that does not mean well', () => {
  const closed = closedIn(afterEach);
  const ask = askEgress({ clock: systemClock, random: Math.random });

  async function asked(answer: (response: ServerResponse, path: string) => void): Promise<unknown[]> {
    const server = createServer(({ url = '' }, response) => {
      response.setHeader('content-type', 'application/json');
      answer(response, url);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    closed(server, (one) => {
      one.closeAllConnections();
      one.close();
    });
    const { port } = server.address() as AddressInfo;
    const [pod, { signal }] = [{ host: '127.0.0.1', port }, new AbortController()];
    const said = [ask.trunks(pod, signal), ask.demand(pod, signal)];
    return Promise.all(said.map((one) => one.catch((error: unknown) => error)));
  }

  const answers: readonly [what: string, answer: (response: ServerResponse, path: string) => void][] = [
    ['says nothing', () => undefined],
    ['begins and does not end', (response) => void response.write('[')],
    [
      'has no end',
      (response) => {
        const more = () => {
          while (response.write(' '.repeat(65_536)));
          response.once('drain', more);
        };
        response.write('[');
        more();
      },
    ],
    [
      'sends the question elsewhere',
      (response, path) => {
        if (path === '/elsewhere') response.end(JSON.stringify([row(1)]));
        else response.writeHead(302, { location: '/elsewhere' }).end();
      },
    ],
    ['is of a release without the page', (response) => void response.writeHead(404).end('not found')],
    ['is no JSON', (response) => void response.end('<html>')],
    ['is no list', (response) => void response.end('{"gateway":"10.0.0.1:1"}')],
  ];
  for (const [what, answer] of answers)
    it(`has no answer where it ${what}`, async () => {
      for (const said of await asked(answer)) expect(said).to.be.instanceOf(Error);
    });

  // One entry that was not as it should be, and no other of the pod counted.
  const counts = { service: 'shop/web', requests: 1, failures: 0, refused: 0, pending: 0 };
  const wrong: readonly [what: string, entries: readonly unknown[]][] = [
    ['has enormous texts', [row(1, { identity: 'a'.repeat(9999) }), { ...counts, service: 'a'.repeat(301) }]],
    ['has numbers that are none', [row(1, { attempts: undefined }), { ...counts, pending: '1' }]],
    ['has numbers that cannot be', [row(1, { sinceMs: -1 }), { ...counts, requests: -1 }]],
    ['has a state of another version', [row(1, { state: 'asleep' }), { ...counts, service: 7 }]],
    ['is nothing', [null, 3, 'text', []]],
  ];
  for (const [what, entries] of wrong)
    it(`leaves out an entry that ${what}, and no other`, async () => {
      const good = { ...row(2), ...counts, more: 'of a newer version' };
      const list = [...entries, good, ...entries];
      const read = await asked((response) => void response.end(JSON.stringify(list)));
      expect(read).to.deep.equal([
        { rows: [row(2)], skipped: 2 * entries.length },
        { rows: [counts], skipped: 2 * entries.length },
      ]);
    });

  it('looks at no more entries than a pod may have', async () => {
    const list = Array.from({ length: 5000 }, (_, n) => ({ ...row(n), ...counts }));
    const read = (await asked((response) => void response.end(JSON.stringify(list)))) as {
      rows: unknown[];
    }[];
    expect(read.map(({ rows }) => rows.length)).to.deep.equal([MAX_TRUNKS, MAX_DEMANDS]);
  });
});

// One pod could make up thousands of addresses, others with each answer: as many lines every 2 s.
describe('an egress pod that makes up addresses', () => {
  it('fills no log', async () => {
    const clock = new VirtualClock();
    const captured = captureLog();
    let looks = 0;
    const evidence = new EgressEvidence({
      clock,
      random: () => 0.5,
      log: captured.log,
      pods: () => [{ host: '10.1.0.1', port: 4192 }],
      ask: {
        trunks: () => {
          looks++;
          const rows = Array.from({ length: 9000 }, (_, n) => row(n, { identity: `gw-${looks}` }));
          return Promise.resolve({ rows, skipped: 9000 });
        },
        demand: () => Promise.resolve({ rows: [], skipped: 9000 }),
      },
    });
    const unfollow = evidence.follow(() => undefined);
    await clock.advance(10_000);
    await settle();
    expect(looks).to.be.above(3);
    expect(evidence.lost).to.equal(MAX_TRUNKS);
    expect(captured.lines.length / looks).to.be.below(40);
    unfollow();
  });
});

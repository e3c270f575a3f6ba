import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
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

  async function asked(answer: (response: ServerResponse, path: string) => void): Promise<unknown> {
    const server = createServer(({ url = '' }, response) => answer(response, url));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    closed(server, (one) => {
      one.closeAllConnections();
      one.close();
    });
    const { port } = server.address() as AddressInfo;
    return ask({ host: '127.0.0.1', port }, new AbortController().signal).catch((error: unknown) => error);
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
    [
      'has enormous texts',
      (response) => void response.end(JSON.stringify([row(1, { identity: 'a'.repeat(9999) })])),
    ],
    [
      'has numbers that are none',
      (response) => void response.end('[{"gateway":"a","identity":"b","state":"dead"}]'),
    ],
  ];
  for (const [what, answer] of answers)
    it(`has no answer where it ${what}`, async () => {
      expect(await asked(answer)).to.be.instanceOf(Error);
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
      ask: () => {
        looks++;
        return Promise.resolve(Array.from({ length: 9000 }, (_, n) => row(n, { identity: `gw-${looks}` })));
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

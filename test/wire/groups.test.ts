import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '../support/eventually.ts';
import { GroupBed, GroupSite, GRPC, type KeptClient, RAW, WEB } from '../support/group-bed.ts';
import { GRPC_FIELDS } from '../support/grpc.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

const CLUSTERS = ['west', 'north'] as const;

// A client that kept its connection stayed with a dead cluster: 502 for ever, while another cluster answered
// on the next port of the same egress process.
for (const runtime of RUNTIMES)
  describe(`a Service of two clusters behind one port, with everything on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-groups-'));
    const site = new GroupSite({ runtime, dir, clusters: CLUSTERS });
    let bed: GroupBed;
    let kept: KeptClient;
    const served = (dst?: string) => bed.served(dst);
    const numbers = (name: string) => bed.numbers(name);

    beforeEach(async function () {
      bed = await GroupBed.start(site);
      kept = bed.client();
    });

    afterEach(async () => {
      kept.close();
      await bed.stop();
    });
    after(async () => {
      await site.stop();
      rmSync(dir, { recursive: true });
    });

    /** What comes back on a new raw connection. */
    const echoed = async (text: string): Promise<string> => {
      const socket = await bed.egress.client.connect(RAW);
      socket.write(text);
      const [said] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return String(said);
    };

    /** Sends requests until both clusters have served some, so that both are connected. */
    const untilBothServe = () =>
      eventually('both clusters serve', async () => {
        expect((await kept.ask()).status).to.equal(200);
        return (await served()).every((count) => count > 0);
      });

    it('requests of one kept connection are spread over both', async () => {
      await untilBothServe();
      for (let count = 0; count < 100; count++) expect((await kept.ask()).status).to.equal(200);
      const [west = 0, north = 0] = await served();
      expect(west + north).to.be.at.least(100);
      expect(Math.min(west, north)).to.be.at.least(20);
      expect(kept.connections).to.equal(1);
    });

    /**
     * Sends requests on many kept connections while `during` runs.
     * @returns the statuses of the responses, and how many connections each client needed beside its first
     * and those that were ended in the middle of a response
     */
    const underLoad = async (
      during: () => Promise<unknown>,
    ): Promise<{ statuses: number[]; again: number[] }> => {
      const clients = Array.from({ length: 16 }, () => bed.client());
      const statuses = new Set<number>();
      const enough = new AbortController();
      const ask = async (client: KeptClient) => {
        while (!enough.signal.aborted) statuses.add((await client.ask('PUT', '/echo', 'body')).status);
      };
      const asking = clients.map(ask);
      try {
        await during();
      } finally {
        enough.abort();
      }
      await Promise.all(asking);
      for (const client of clients) client.close();
      const again = clients.map(({ connections, cut }) => connections - 1 - cut);
      return { statuses: [...statuses], again };
    };
    const northServes = async () => {
      const [, before = 0] = await served();
      await eventually('the other cluster serves', async () => ((await served())[1] ?? 0) > before + 200);
    };

    it('go on by the other one when the gateway of one is killed, none fails, and the connections stay', async () => {
      await untilBothServe();
      const { statuses, again } = await underLoad(async () => {
        await northServes();
        await bed.gateway('west').kill();
        await northServes();
      });
      expect(statuses).to.deep.equal([200]);
      expect(Math.max(...again)).to.equal(0);
      expect((await numbers('outbound_group_moved_total'))['why="retry"']).to.be.greaterThan(0);
      const times = await numbers('linkspan_failover_time_to_first_success_seconds_count');
      expect(times['cause="retry"']).to.be.greaterThan(0);
    });

    it('a call of gRPC, too, on one session', async () => {
      const call = () =>
        bed.egress.client.request('http2', GRPC, {
          method: 'POST',
          path: '/echo',
          headers: GRPC_FIELDS,
          body: [Buffer.from('message')],
        });
      await eventually('both clusters serve calls', async () => {
        expect((await call()).trailers['grpc-status']).to.equal('0');
        return (await served(GRPC)).every((count) => count > 0);
      });
      await bed.gateway('north').kill();
      for (let count = 0; count < 20; count++) expect((await call()).trailers['grpc-status']).to.equal('0');
    });

    // SIGSTOP: the kernel still accepts bytes, but the process does not answer.
    it('go on by the other one when one falls silent, none fails that is idempotent', async function () {
      await untilBothServe();
      try {
        const { statuses } = await underLoad(async () => {
          await northServes();
          bed.gateway('west').signal('SIGSTOP');
          await eventually(
            'those in hand are sent once more',
            async () => (await numbers('outbound_group_moved_total'))['why="retry"'],
          );
          await northServes();
          // Once it is known that its connection is dead, nobody has to find out that it cannot be opened
          // again.
          for (let count = 0; count < 10; count++) expect(await echoed('x')).to.equal('x');
        });
        expect(statuses).to.deep.equal([200]);
        for (const dst of [WEB, RAW])
          expect((await bed.numbers('outbound_group_moved_total', dst))['why="connect"'] ?? 0).to.equal(0);
      } finally {
        bed.gateway('west').signal('SIGCONT');
      }
      const [before = 0] = await served();
      await eventually('the first one is back', async () => {
        expect((await kept.ask()).status).to.equal(200);
        return ((await served())[0] ?? 0) > before + 3;
      });
    });

    it('go on by the other one when all endpoints of one are gone, whatever the method', async () => {
      await untilBothServe();
      await bed.serve('north', 'none');
      await eventually('the gateway has none', async () => {
        expect((await kept.ask('POST', '/hello', 'body')).status).to.equal(200);
        return (await numbers('outbound_group_moved_total'))['why="no_endpoints"'];
      });
      for (let count = 0; count < 50; count++)
        expect((await kept.ask('POST', '/hello', 'body')).status).to.equal(200);
      await bed.serve('north', 'all');
      const [, before = 0] = await served();
      await eventually('its endpoints are used again', async () => {
        expect((await kept.ask('POST', '/hello', 'body')).status).to.equal(200);
        return ((await served())[1] ?? 0) > before;
      });
    });

    it('raw connections are opened where they can be', async () => {
      await bed.gateway('west').kill();
      // What was sent to it before the egress has heard of its end may have been read: such a flow is cut.
      const heard = await eventually('nothing is sent to it any more', async () => {
        for (let count = 0; count < 10; count++) {
          const said = await echoed('x').catch((error: NodeJS.ErrnoException) => error.code);
          if (said === 'ECONNRESET') return undefined;
          expect(said).to.equal('x');
        }
        return true;
      });
      expect(heard).to.equal(true);
    });

    // The gateway waited for 3 s, and then the client's connection was reset, as nobody else was asked.
    it('raw connections, too, with all that was sent on them, and whose gateway has no endpoint is left alone', async () => {
      await eventually('both clusters are connected', async () => {
        expect(await echoed('x')).to.equal('x');
        return (await served(RAW)).every((count) => count > 0);
      });
      await bed.serve('north', 'none', RAW);
      const refused = async () =>
        (await bed.numbers('outbound_group_moved_total', RAW))['why="no_endpoints"'];
      await eventually('the gateway has refused one', async () => {
        expect(await echoed('early')).to.equal('early');
        return refused();
      });
      const before = await served(RAW);
      for (let count = 0; count < 30; count++) expect(await echoed('y')).to.equal('y');
      expect((await served(RAW))[1]).to.equal(before[1]);
      expect(await refused()).to.be.lessThan(10);
      await bed.serve('north', 'all', RAW);
      await eventually('it serves again', async () => {
        expect(await echoed('z')).to.equal('z');
        return ((await served(RAW))[1] ?? 0) > (before[1] ?? 0);
      });
    });

    // Nobody but the gateway knew that there was no endpoint: half of all upgrades waited for 3 s and
    // got 504.
    it('upgrades, too', async () => {
      await untilBothServe();
      await bed.serve('north', 'none');
      await eventually('the gateway has refused one', async () => {
        const socket = await bed.egress.client.connect(WEB);
        socket.write('GET /chat HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nfirst');
        let said = '';
        socket.on('data', (chunk: Buffer) => (said += String(chunk)));
        await eventually('it is answered', () => said.includes('\r\n\r\n'));
        expect(said).to.match(/^HTTP\/1\.1 101 /);
        socket.destroy();
        return (await numbers('outbound_group_moved_total'))['why="no_endpoints"'];
      });
    });

    it('clients are told why each cluster cannot serve when none can', async function () {
      for (const cluster of CLUSTERS) await bed.gateway(cluster).kill();
      await eventually('requests fail at once', async () => {
        const response = await bed.egress.client.request('http1', WEB, { path: '/hello' });
        expect(response.status).to.equal(502);
        return CLUSTERS.every((cluster) => String(response.body).includes(`${cluster}: `));
      });
    });
  });

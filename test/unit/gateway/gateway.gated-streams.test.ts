import { expect } from 'chai';
import { once } from 'node:events';
import type net from 'node:net';
import type { TargetSpec } from '../../../src/discovery/target-spec.ts';
import type { FaultRule } from '../../../src/policy/faults/fault-rules.ts';
import { eventually } from '../../support/eventually.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from '../../support/origins.ts';
import { type Relay, startRelay } from '../../support/relay.ts';

const named = (name: string) => `${name}.demo.svc.cluster.local`;

/**
 * Limits and faults hold for our own egress as for everybody else, whether its flows are streams or
 * connections.
 */
for (const streams of [true, false]) {
  describe(`Limits and faults for an egress, ${streams ? 'stream mode' : 'transport header'}`, () => {
    const origins: Origin[] = [];
    let relay: Relay;

    const fault = (said: Partial<FaultRule>): FaultRule => ({
      until: Date.now() + 60_000,
      percent: 100,
      headers: [],
      delayMs: 0,
      jitterMs: 0,
      reset: false,
      ...said,
    });

    before(async () => {
      const [one, two, raw] = [await http1Origin(), await http2Origin(), await rawOrigin('hi')];
      origins.push(one, two, raw);
      const target = (name: string, { port }: Origin, said: Partial<TargetSpec>): TargetSpec => ({
        name: named(name),
        port: 80,
        endpoints: [{ host: '127.0.0.1', port, ready: true }],
        ...said,
      });
      const total = { perSecond: 0.001, burst: 2 };
      const limits = (key: string) => ({
        limits: [{ key, policy: `core/service/${key}`, total, overrides: [] }],
      });
      const specs = [
        target('limited1', one, { protocol: 'http1', ...limits('limited1') }),
        target('limited2', two, { protocol: 'http2', ...limits('limited2') }),
        target('limitedraw', raw, limits('limitedraw')),
        target('aborted', one, { protocol: 'http1', faults: [fault({ abort: { status: 418, grpc: 2 } })] }),
        target('delayed', two, { protocol: 'http2', faults: [fault({ delayMs: 100 })] }),
        target('reset', one, { protocol: 'http1', faults: [fault({ reset: true })] }),
        target('delayedraw', raw, { faults: [fault({ delayMs: 100 })] }),
        target('resetraw', raw, { faults: [fault({ reset: true })] }),
      ];
      relay = await startRelay({
        specs,
        gateway: { streams },
        egress: { streams },
        services: specs.map(({ name }) => ({
          name,
          ...(name.includes('raw') ? { protocol: 'opaque' as const } : {}),
        })),
      });
    });

    after(async () => {
      await relay.close();
      for (const origin of origins) origin.close();
    });

    const ask = (kind: 'http1' | 'http2', name: string) =>
      relay.client.request(kind, named(name), { path: '/hello' });

    for (const [kind, name] of [
      ['http1', 'limited1'],
      ['http2', 'limited2'],
    ] as const)
      it(`tells ${kind} clients to come again later`, async () => {
        const answers = [await ask(kind, name), await ask(kind, name), await ask(kind, name)];
        expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 429]);
        expect(Number(answers[2]?.headers['retry-after'])).to.be.within(900, 1000);
      });

    it('aborts and delays requests, marked', async () => {
      for (const kind of ['http1', 'http2'] as const) {
        const aborted = await ask(kind, 'aborted');
        expect([aborted.status, aborted.headers['linkspan-injected-fault']]).to.deep.equal([418, 'abort']);
        const from = performance.now();
        const delayed = await ask(kind, 'delayed');
        expect([delayed.status, delayed.headers['linkspan-injected-fault']]).to.deep.equal([200, 'delay']);
        expect(performance.now() - from).to.be.above(95);
      }
    });

    it('breaks requests off', async () => {
      for (const kind of ['http1', 'http2'] as const) {
        const broken = await ask(kind, 'reset').catch((error: unknown) => error);
        // The egress has not sent anything of an answer yet, so it can say that there is none.
        expect(broken instanceof Error || (broken as { status: number }).status === 502, kind).to.equal(true);
      }
      expect(relay.local.gateway.counters.faults.get(`${named('reset')}:80\treset`)).to.be.at.least(2);
    });

    it('limits, delays and breaks raw connections', async () => {
      const over = (socket: net.Socket) =>
        eventually('it is ended', () => socket.readableEnded || socket.destroyed);
      const open = async (name: string) => {
        const socket = await relay.client.connect(named(name));
        let said = '';
        socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
        return { socket, said: () => said };
      };
      const first = await open('limitedraw');
      await once(first.socket, 'data');
      const second = await open('limitedraw');
      await once(second.socket, 'data');
      const third = await open('limitedraw');
      await over(third.socket);
      expect(third.said()).to.equal('');
      const from = performance.now();
      const delayed = await open('delayedraw');
      delayed.socket.write('ping');
      while (delayed.said() !== 'hiping') await once(delayed.socket, 'data');
      expect(performance.now() - from).to.be.above(95);
      const broken = await open('resetraw');
      await over(broken.socket);
      expect(broken.said()).to.equal('');
      for (const { socket } of [first, second, delayed]) socket.destroy();
    });
  });
}

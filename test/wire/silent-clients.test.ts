import { expect } from 'chai';
import { once } from 'node:events';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { startRelay } from '../support/relay.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';
import { answering, WireTarget } from '../support/wire-target.ts';

const SAID = 'said.demo.svc.cluster.local';
const UNSAID = 'unsaid.demo.svc.cluster.local';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const REQUEST = 'GET / HTTP/1.1\r\nhost: admin\r\nl5d-client-id: admin.ops\r\n\r\n';

/**
 * Who waits long enough was taken for one that does not speak HTTP, and was read by nobody from then on: a
 * pool that connects ahead of its requests by accident, and whoever likes on purpose. Time decides when a
 * connection is opened, and nothing else.
 */
describe('A client that is silent for a while', () => {
  let clock: VirtualClock;
  let target: WireTarget;

  beforeEach(async () => {
    clock = new VirtualClock();
    target = await WireTarget.start(answering(() => OK));
  });
  afterEach(() => target.close());

  const specs = (): TargetSpec[] => [
    { ...service(SAID, [target.port]), protocol: 'http1' },
    service(UNSAID, [target.port]),
  ];

  /** Lets time pass in steps until something holds. @returns how much */
  async function passes(stepMs: number, what: string, holds: () => boolean): Promise<number> {
    let ms = 0;
    await eventually(what, async () => {
      if (holds()) return true;
      await clock.advance(stepMs);
      ms += stepMs;
      return holds();
    });
    return ms;
  }

  describe('at the gateway', () => {
    let gateway: WireGateway;

    beforeEach(async () => {
      gateway = await WireGateway.start(specs(), { clock });
    });
    afterEach(() => gateway.close());

    for (const name of [SAID, UNSAID])
      it(`for an hour is read when it speaks: ${name}`, async () => {
        const client = await gateway.open(name, 'opaque');
        await eventually('its header has come', () => gateway.gateway.counters.headers.size === 1);
        await clock.advance(3_600_000);
        await client.send(REQUEST).hears(/ok$/);
        expect(target.text.match(/^l5d-client-id: .*$/gm)).to.deep.equal(['l5d-client-id: client.east']);
        expect(target.text.match(/^host: .*$/gm)).to.deep.equal([`host: ${name}`]);
      });

    it('in the middle of its first line may be one of other bytes after 10 s, but not a request any more', async () => {
      const client = await gateway.open(UNSAID, 'opaque');
      client.send('GET /slow');
      const ms = await passes(1000, 'the bytes pass', () => target.text === 'GET /slow');
      expect(ms).to.be.at.least(10_000);
      client.send(' HTTP/1.1\r\nl5d-client-id: admin.ops\r\n\r\n');
      expect(await client.whole()).to.equal('');
      expect(target.text).to.equal('GET /slow');
      expect(gateway.failures).to.deep.equal({ 'protocol not served': 1 });
    });

    it('before its first line is complete is read as the request that it is', async () => {
      const client = await gateway.open(UNSAID, 'opaque');
      await client.sendAlone(REQUEST.slice(0, 8));
      await clock.advance(9000);
      await client.send(REQUEST.slice(8)).hears(/ok$/);
      expect(target.text).to.contain('l5d-client-id: client.east').and.not.contain('admin');
    });

    it('has no port of its own where it could say so: one that is opaque takes HTTP only, for a service that speaks HTTP', async () => {
      // `--listeners …/opaque` for a Service that was given an appProtocol later.
      const port = await freePort();
      const address = { host: '127.0.0.1', port };
      const listeners = [{ address, name: SAID, port: 80, protocol: 'opaque' as const }];
      const fixed = await WireGateway.start(specs(), { clock, listeners });
      try {
        const client = await fixed.connect({ port, ALPNProtocols: [] });
        await client.send(REQUEST).hears(/ok$/);
        expect(target.text).to.contain('l5d-client-id: client.east').and.not.contain('admin');
      } finally {
        await fixed.close();
      }
    });

    it('loses its raw connection when its port is said to speak HTTP', async () => {
      const client = await gateway.open(UNSAID, 'opaque');
      await eventually('it is connected', () => target.connections.length === 1);
      gateway.serve([{ ...service(UNSAID, [target.port]), protocol: 'http1' }]);
      expect(await client.whole()).to.equal('');
      expect(gateway.failures).to.deep.equal({ 'protocol not served': 1 });
    });
  });

  it('at the egress gets a connection after 500 ms, and is read when it speaks', async () => {
    const relay = await startRelay({
      specs: specs(),
      services: [{ name: UNSAID }],
      egress: { clock },
    });
    try {
      const { body } = await relay.client.request('http1', UNSAID, { path: '/' });
      expect(body.toString()).to.equal('ok');
      const before = target.connections.length;
      const socket = await relay.client.connect(UNSAID);
      const ms = await passes(100, 'it is connected', () => target.connections.length > before);
      expect(ms).to.be.at.least(500);
      target.forget();
      socket.write(REQUEST);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(answer.toString()).to.match(/ok$/);
      expect(target.text).to.contain('l5d-client-id: egress.east').and.not.contain('admin');
    } finally {
      await relay.close();
    }
  });
});

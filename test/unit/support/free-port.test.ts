import { expect } from 'chai';
import { once } from 'node:events';
import net from 'node:net';
import { freePort, freePorts, portsOf } from '../../support/free-port.ts';

// Tests that ran beside each other were given one port: it was free when the first asked, and again when the
// second did.
describe('free ports', () => {
  it('are given once', async () => {
    const ports = [...(await freePorts(20)), await freePort()];
    expect(new Set(ports)).to.have.lengthOf(21);
  });

  it('are others in every process, and none that a connection may get', () => {
    const ranges = Array.from({ length: 94 }, (_, at) => portsOf(4_194_000 + at)).toSorted(
      (a, b) => a.first - b.first,
    );
    for (const [at, { first, last }] of ranges.entries()) {
      expect(last).to.be.above(first);
      expect(first).to.be.above(ranges[at - 1]?.last ?? 1023);
    }
    expect(ranges.at(-1)?.last).to.be.below(32_768);
  });

  it('are not those that somebody listens on', async () => {
    const first = await freePort();
    const server = net.createServer().listen(first + 1, '127.0.0.1');
    await once(server, 'listening');
    expect(await freePort()).to.not.equal(first + 1);
    await once(server.close(), 'close');
  });
});

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

  // One process of a hundred got 10080 for its metrics, which nobody can read there.
  it('are none at which fetch asks nobody', async () => {
    const blocked = 10_080;
    const refused = await fetch(`http://127.0.0.1:${blocked}`).catch((error: Error) => error.cause);
    expect(refused).to.have.property('message', 'bad port');
    const pid = 94;
    const { first, last } = portsOf(pid);
    expect(blocked).to.be.within(first, last);
    const ports = new Set<number>();
    for (let count = 0; count < 239; count++) ports.add(await freePort(pid));
    expect([...ports]).not.to.include(blocked);
  });

  it('are not those that somebody listens on', async () => {
    const first = await freePort();
    const server = net.createServer().listen(first + 1, '127.0.0.1');
    await once(server, 'listening');
    expect(await freePort()).to.not.equal(first + 1);
    await once(server.close(), 'close');
  });
});

import { expect } from 'chai';
import { EventEmitter } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { listenOn } from '../../../src/base/listen.ts';
import { codeOf } from '../../../src/api/errors/linkspan-error.ts';

const failure = async (server: Server, address: { host: string; port: number }) =>
  listenOn(server, address).then(
    () => undefined,
    (error: unknown) => error,
  );

/** A server whose listening fails as the kernel would have it. */
function failing(code: string): Server {
  const server = new EventEmitter() as EventEmitter & { listen: () => void };
  server.listen = () => void server.emit('error', Object.assign(new Error(`listen ${code}`), { code }));
  return server as unknown as Server;
}

// Every failure was PORT_IN_USE, "stop the other process", in four places.
describe('listening', () => {
  it('on a port that another has is PORT_IN_USE, and on an address of nobody here is not', async () => {
    const taken = createServer();
    await listenOn(taken, { host: '127.0.0.1', port: 0 });
    const { port } = taken.address() as AddressInfo;
    const second = await failure(createServer(), { host: '127.0.0.1', port });
    expect(codeOf(second)).to.equal('PORT_IN_USE');
    expect((second as Error).message).to.contain(`cannot listen on 127.0.0.1:${port}: `);
    const foreign = await failure(createServer(), { host: '192.0.2.1', port: 0 });
    expect(codeOf(foreign)).to.equal('ADDRESS_NOT_LOCAL');
    taken.close();
  });

  for (const [code, ours] of [
    ['EADDRINUSE', 'PORT_IN_USE'],
    ['EACCES', 'PORT_NOT_PERMITTED'],
    ['EPERM', 'PORT_NOT_PERMITTED'],
    ['EADDRNOTAVAIL', 'ADDRESS_NOT_LOCAL'],
    ['EAFNOSUPPORT', 'ADDRESS_NOT_LOCAL'],
    ['EMFILE', 'LISTEN_FAILED'],
    ['constructor', 'LISTEN_FAILED'],
  ] as const)
    it(`that fails by ${code} is ${ours}`, async () => {
      expect(codeOf(await failure(failing(code), { host: '127.0.0.1', port: 80 }))).to.equal(ours);
    });
});

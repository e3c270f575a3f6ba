import { expect } from 'chai';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../../../src/base/clock.ts';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { anonymousAccess } from '../../../../src/kube/client/access.ts';
import { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { services } from '../../../../src/api/kubernetes/resource.ts';

/**
 * A TLS handshake costs both sides more than the request: removing 1,000 mirrors over 2,000 connections took
 * four times as long as it should.
 */
describe('connections to an API server', () => {
  let server: Server;
  let client: KubeClient;
  let connections = 0;

  before(async () => {
    server = createServer((request, response) => {
      request.resume();
      request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
    });
    server.on('connection', () => connections++);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    client = new KubeClient(anonymousAccess(`http://127.0.0.1:${port}`), {
      clock: systemClock,
      random: Math.random,
      maxConnections: 2,
    });
  });

  after(async () => {
    await client.close();
    await new Promise((resolve) => server.close(resolve));
  });

  it('are used again whatever the method', async () => {
    const ref = { namespace: 'demo', name: 'web' };
    for (let round = 0; round < 5; round++) {
      await client.create(services, { metadata: ref });
      await client.patch(services, ref, {}, { type: 'merge' });
      await client.get(services, ref);
      await client.delete(services, ref, { uid: 'one' });
    }
    expect(connections).to.be.at.most(2);
  });

  // A client that was closed while it waited for credentials opened connections that nobody ended.
  it('are not opened for a request whose client was closed before it had its credentials', async () => {
    const { port } = server.address() as AddressInfo;
    const credentials = Promise.withResolvers<string>();
    const auth = { authorization: () => credentials.promise };
    const access = { ...anonymousAccess(`http://127.0.0.1:${port}`), auth };
    const late = new KubeClient(access, { clock: systemClock, random: Math.random });
    const before = connections;
    const asked = late.get(services, { namespace: 'demo', name: 'web' }).then(
      () => 'answered',
      (error: unknown) => codeOf(error),
    );
    await late.close();
    credentials.resolve('Bearer late');
    expect(await asked).to.equal('KUBE_UNREACHABLE');
    expect(connections).to.equal(before);
  });
});

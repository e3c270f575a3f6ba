import { expect } from 'chai';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { stringify } from 'yaml';
import { systemClock } from '../../../../src/base/clock.ts';
import { anonymousAccess, loadAccess } from '../../../../src/kube/client/access.ts';
import { renewal } from '../../../../src/kube/client/auth.ts';
import { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { execPluginAuth } from '../../../../src/kube/client/exec-plugin.ts';
import { services } from '../../../../src/api/kubernetes/resource.ts';
import { eventually } from '../../../support/eventually.ts';
import { useTempDir } from '../../../support/temp-dir.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/**
 * A token that was taken back before its time (a person logged out elsewhere, a key was rotated): client-go
 * asks the plugin again after a 401; here every request failed until the token's own end.
 */
describe('credentials that an API server refuses', () => {
  const directory = useTempDir();
  let server: Server;
  let accepted: string[] = [];
  /** The Authorization header of each request. */
  let asked: (string | undefined)[] = [];

  before(async () => {
    server = createServer((request, response) => {
      asked.push(request.headers.authorization);
      request.resume();
      const ok = accepted.includes(request.headers.authorization ?? '');
      const status = { kind: 'Status', status: 'Failure', reason: 'Unauthorized', code: 401 };
      response.writeHead(ok ? 200 : 401, { 'content-type': 'application/json' });
      response.end(JSON.stringify(ok ? { metadata: { name: 'web' } } : status));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  after(() => server.close());
  beforeEach(() => {
    asked = [];
    accepted = [];
  });

  function clientOf(user: object): KubeClient {
    const { port } = server.address() as AddressInfo;
    const file = path.join(directory(), 'config');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    };
    writeFileSync(file, stringify(config));
    return new KubeClient(loadAccess({ file }), { clock: systemClock, random: Math.random });
  }

  /** A plugin that gives `t1`, `t2`, … and never says when they end. */
  function plugin(): object {
    const count = path.join(directory(), 'count');
    writeFileSync(count, '0');
    const program = path.join(directory(), 'plugin.mjs');
    writeFileSync(
      program,
      `#!${process.execPath}
import { readFileSync, writeFileSync } from 'node:fs';
const n = Number(readFileSync(${JSON.stringify(count)}, 'utf8')) + 1;
writeFileSync(${JSON.stringify(count)}, String(n));
console.log(JSON.stringify({ status: { token: 't' + n } }));
`,
    );
    chmodSync(program, 0o755);
    const apiVersion = 'client.authentication.k8s.io/v1';
    return { exec: { apiVersion, command: program, interactiveMode: 'Never' } };
  }
  const runs = () => Number(readFileSync(path.join(directory(), 'count'), 'utf8'));
  const get = (client: KubeClient) => client.get(services, { namespace: 'demo', name: 'web' });
  const refused = (client: KubeClient) =>
    get(client).then(
      () => expect.fail('it is refused'),
      (error: unknown) => expect(error).to.have.property('status', 401),
    );

  it('are got anew from the plugin once, and the request is sent again', async () => {
    const client = clientOf(plugin());
    try {
      accepted = ['Bearer t1', 'Bearer t2'];
      await get(client);
      accepted = ['Bearer t2'];
      await get(client);
      await get(client);
      expect(asked).to.deep.equal(['Bearer t1', 'Bearer t1', 'Bearer t2', 'Bearer t2']);
      expect(runs()).to.equal(2);
    } finally {
      await client.close();
    }
  });

  it('are got anew once for all requests that meet the refusal together', async () => {
    const client = clientOf(plugin());
    try {
      accepted = ['Bearer t1'];
      await get(client);
      accepted = ['Bearer t2'];
      await Promise.all([get(client), get(client), get(client), get(client)]);
      expect(runs()).to.equal(2);
    } finally {
      await client.close();
    }
  });

  it('are not asked for again and again when the new ones are refused, too', async () => {
    const client = clientOf(plugin());
    try {
      for (let request = 0; request < 3; request++) await refused(client);
      expect(runs()).to.equal(2);
      expect(asked).to.deep.equal(['Bearer t1', 'Bearer t2', 'Bearer t2', 'Bearer t2']);
    } finally {
      await client.close();
    }
  });

  // Two runs at once, the slower one of credentials that had been given up: it was taken for the newer, and a
  // refusal of the newer found nothing to forget, until the token's own end.
  it('are those of the run that was begun last, whichever ends last', async () => {
    const [count, go] = ['count', 'go'].map((name) => path.join(directory(), name)) as [string, string];
    writeFileSync(count, '0');
    const program = path.join(directory(), 'plugin.mjs');
    writeFileSync(
      program,
      `#!${process.execPath}
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
const n = Number(readFileSync(${JSON.stringify(count)}, 'utf8')) + 1;
writeFileSync(${JSON.stringify(count)}, String(n));
while (n === 2 && !existsSync(${JSON.stringify(go)})) await new Promise((resolve) => setTimeout(resolve, 10));
const end = n === 1 ? { expirationTimestamp: '2000-01-01T00:00:00Z' } : {};
console.log(JSON.stringify({ status: { token: 't' + n, ...end } }));
`,
    );
    chmodSync(program, 0o755);
    const clock = new VirtualClock();
    const auth = execPluginAuth({
      exec: { apiVersion: 'client.authentication.k8s.io/v1', command: program, interactiveMode: 'Never' },
      directory: directory(),
      cluster: {},
      clock,
      failed: (what, cause) => new Error(what, { cause }),
    });
    expect(await auth.authorization()).to.equal('Bearer t1');
    const slow = auth.authorization();
    await eventually('the second run has begun', () => readFileSync(count, 'utf8') === '2');
    expect(auth.renew?.('Bearer t1')).to.equal(true);
    expect(await auth.authorization()).to.equal('Bearer t3');
    writeFileSync(go, '');
    await slow;
    await clock.advance(20_000);
    expect(auth.renew?.('Bearer t3')).to.equal(true);
    expect(await auth.authorization()).to.equal('Bearer t4');
  });

  it('are read anew from a token file', async () => {
    const tokenFile = path.join(directory(), 'token');
    writeFileSync(tokenFile, 'old');
    const client = clientOf({ tokenFile });
    try {
      accepted = ['Bearer old'];
      await get(client);
      writeFileSync(tokenFile, 'new');
      accepted = ['Bearer new'];
      await get(client);
      expect(asked).to.deep.equal(['Bearer old', 'Bearer old', 'Bearer new']);
    } finally {
      await client.close();
    }
  });

  it('are what they are where nothing else can be had', async () => {
    const client = clientOf({ token: 'fixed' });
    try {
      await refused(client);
      expect(asked).to.deep.equal(['Bearer fixed']);
    } finally {
      await client.close();
    }
  });

  it('are shown by a new connection where they are a client certificate', async () => {
    const { port } = server.address() as AddressInfo;
    let connections = 0;
    const auth = {
      authorization: () => Promise.resolve(undefined),
      // Asked for by each connection that begins.
      certificate: () => {
        connections++;
        return Promise.resolve(undefined);
      },
      renew: () => {
        accepted = [''];
        return true;
      },
    };
    const access = { ...anonymousAccess(`http://127.0.0.1:${port}`), auth };
    const client = new KubeClient(access, { clock: systemClock, random: Math.random });
    try {
      await get(client);
      expect(asked).to.have.length(2);
      expect(connections).to.equal(2);
    } finally {
      await client.close();
    }
  });

  it('are got anew at most every 10 s, unless others have come meanwhile', async () => {
    const clock = new VirtualClock();
    let forgotten = 0;
    const renew = renewal(clock, () => forgotten++);
    expect([renew('a', 'a'), renew('b', 'b'), renew('a', 'b')]).to.deep.equal([true, false, true]);
    await clock.advance(10_000);
    expect(renew('b', 'b')).to.equal(true);
    expect(forgotten).to.equal(2);
  });
});

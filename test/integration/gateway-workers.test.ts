import { STATS_PAGE } from '../../src/api/answers/stats-report.ts';
import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { identityFiles, writePemFiles } from '../../src/identity/authority/pem-files.ts';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { linkspanEnv, root } from '../support/runtime-process.ts';
import { useTempDir } from '../support/temp-dir.ts';

const NAME = 'web.demo.svc.cluster.local';
const runtimes = ['node', 'bun'].map((name) => path.join(root, 'node_modules/.bin', name)).filter(existsSync);

/** The processes that a process has started. */
function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

for (const runtime of runtimes) {
  describe(`A gateway of several processes on ${path.basename(runtime)}`, () => {
    const dir = useTempDir();
    let origin: Server;
    let client: Identity;
    let parent: ChildProcess;
    let pid = 0;
    let ports = { listen: 0, admin: 0 };
    let log = '';
    const started = new Set<number>();

    beforeEach(async () => {
      const issuer = await createIssuer(await createAnchor({}), {});
      client = await issueLeaf(issuer, { identity: 'client.east' });
      await writePemFiles(dir(), identityFiles(await issueLeaf(issuer, { identity: 'gateway.west' })), {
        force: true,
      });
      origin = createServer((_, response) => response.end('hello'));
      origin.listen(0, '127.0.0.1');
      await once(origin, 'listening');
      const { port } = origin.address() as net.AddressInfo;
      const targets = path.join(dir(), 'targets.yaml');
      writeFileSync(targets, `services: [{name: ${NAME}, port: 80, endpoints: ["127.0.0.1:${port}"]}]\n`);
      ports = { listen: await freePort(), admin: await freePort() };
      const config = path.join(dir(), 'gateway.yaml');
      writeFileSync(config, `targets: ${targets}\nidentityDir: ${dir()}\nworkers: 2\ngrace: 1\n`);
      const env = { ...linkspanEnv(), LINKSPAN_GATEWAY_LISTEN: `127.0.0.1:${ports.listen}` };
      const flags = ['--config', config, '--admin', `127.0.0.1:${ports.admin}`, '--probe', '127.0.0.1:0'];
      parent = spawn(runtime, [path.join(root, 'bin/linkspan.js'), 'gateway', ...flags], { env });
      pid = parent.pid ?? 0;
      log = '';
      for (const stream of [parent.stdout, parent.stderr])
        stream?.on('data', (chunk: Buffer) => (log += chunk.toString()));
      try {
        await eventually('both workers listen', () => Promise.resolve(workersListen(2)));
      } catch (error) {
        throw new Error(log, { cause: error });
      }
    });

    afterEach(async () => {
      if (parent.exitCode === null && parent.signalCode === null) {
        parent.kill('SIGKILL');
        await once(parent, 'exit');
      }
      await eventually('no worker is left', () =>
        Promise.resolve([...started].every((child) => !alive(child))),
      );
      started.clear();
      origin.closeAllConnections();
      origin.close();
    });

    /** As many lines of workers as expected say that they listen. */
    function workersListen(count: number): boolean {
      for (const child of childrenOf(pid)) started.add(child);
      return (log.match(/"worker":\d+,"listen"/g) ?? []).length === count;
    }

    function request(): Promise<string> {
      return new Promise((resolve) => {
        let seen = '';
        const { cert, key, ca } = client;
        const socket = tls.connect({
          host: '127.0.0.1',
          port: ports.listen,
          servername: 'gateway.west',
          ALPNProtocols: ['transport.l5d.io/v1'],
          cert,
          key,
          ca,
          checkServerIdentity: () => undefined,
        });
        socket.write(encodeTransportHeader({ name: NAME, port: 80, protocol: 'http1' }));
        socket.write('GET / HTTP/1.1\r\nconnection: close\r\n\r\n');
        socket.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
        socket.on('error', () => undefined);
        socket.on('close', () => resolve(seen));
      });
    }

    const ask = async (page: string) => (await fetch(`http://127.0.0.1:${ports.admin}${page}`)).text();
    const served = async () => /^request_total\{.*\} (\d+)$/m.exec(await ask('/metrics'))?.[1];

    it('counts as one, survives the death of a worker, and ends as one', async () => {
      for (let n = 0; n < 20; n++) expect(await request()).to.match(/^HTTP\/1\.1 200 [\s\S]*hello$/);
      expect(await served()).to.equal('20');
      expect(await ask(`/ready/demo/web?port=80`)).to.equal('ready\n');
      const stats = async () => STATS_PAGE.read(JSON.parse(await ask('/stats')));
      const { workers, targets } = await stats();
      const [one] = targets;
      expect([workers, targets.length]).to.deep.equal([2, 1]);
      expect(one).to.include({ label: `${NAME}:80`, requests: 20, responses: 20, failures: 0, inFlight: 0 });

      const [victim = 0, other = 0] = childrenOf(pid);
      process.kill(victim, 'SIGKILL');
      await eventually('it has gone', () => Promise.resolve(!alive(victim)));
      expect(await ask('/ready')).to.equal('ready\n');
      expect(await served()).to.equal('20');
      await eventually('it was replaced', () => Promise.resolve(workersListen(3)));
      expect(childrenOf(pid)).to.include(other).and.to.have.length(2);
      for (let n = 0; n < 10; n++) expect(await request()).to.match(/^HTTP\/1\.1 200 /);
      expect(await served()).to.equal('30');
      expect((await stats()).targets[0]?.responses).to.equal(30);

      parent.kill('SIGTERM');
      const [code] = (await once(parent, 'exit')) as [number];
      expect(code).to.equal(0);
      expect(log).to.contain('draining').and.not.to.contain('killed');
    });

    // Workers that outlive their parent would hold the port with an old certificate and old settings, and
    // nobody would notice.
    it('leaves no worker behind when the parent is killed', async () => {
      const workers = childrenOf(pid);
      expect(workers).to.have.length(2);
      parent.kill('SIGKILL');
      await once(parent, 'exit');
      await eventually('the workers end', () => Promise.resolve(workers.every((worker) => !alive(worker))));
    });

    it('does not share its port with a stranger', async () => {
      const flags = [
        '--targets',
        path.join(dir(), 'targets.yaml'),
        '--identity-dir',
        dir(),
        '--workers',
        '2',
      ];
      const free = '127.0.0.1:0';
      const where = ['--listen', `127.0.0.1:${ports.listen}`, '--admin', free, '--probe', free];
      const command = [path.join(root, 'bin/linkspan.js'), 'gateway', ...flags, ...where];
      const second = spawn(runtime, command, { env: linkspanEnv() });
      let said = '';
      second.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
      const [code] = (await once(second, 'close')) as [number];
      expect(code).to.equal(1);
      expect(said).to.contain('[PORT_IN_USE]');
    });
  });
}

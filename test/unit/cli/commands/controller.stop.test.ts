import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { eventually } from '../../../support/eventually.ts';
import { notFound } from '../../../support/in-process.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

const MAIN = path.resolve(import.meta.dirname, '../../../../src/cli/main.ts');

describe('a controller that is stopped', () => {
  const dir = useTempDir();
  // It waited for lists that then never came, and SIGTERM made a crash of that: exit code 1 and a stack,
  // Events and connections left open.
  for (const answers of ['nothing', 'that it knows no Links'] as const)
    it(`before it has synced ends well (the API server answers ${answers})`, async () => {
      const asked: string[] = [];
      const server = http.createServer((request, response) => {
        asked.push(request.url ?? '');
        if (answers !== 'nothing') notFound(response);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const file = path.join(dir(), 'kubeconfig');
      writeFileSync(
        file,
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Config',
          clusters: [{ name: 'here', cluster: { server: `http://127.0.0.1:${port}` } }],
          users: [{ name: 'me', user: { token: 'secret' } }],
          contexts: [{ name: 'here', context: { cluster: 'here', user: 'me' } }],
          'current-context': 'here',
        }),
      );
      const flags = ['--kubeconfig', file, '--data-path', 'relay', '--admin', '127.0.0.1:0'];
      const child = spawn(process.execPath, [MAIN, 'controller', ...flags]);
      let said = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += String(text)));
      const exit = once(child, 'exit');
      try {
        await eventually(
          'it asks',
          () =>
            asked.some((url) => answers === 'nothing' || url.includes('/links')) || child.exitCode !== null,
        );
        child.kill('SIGTERM');
        expect(await exit, said).to.deep.equal([0, null]);
        expect(said).not.to.contain('UnhandledPromiseRejection').and.not.to.contain('reflector stopped');
      } finally {
        child.kill('SIGKILL');
        server.close();
        server.closeAllConnections();
      }
    });
});

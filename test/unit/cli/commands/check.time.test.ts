import { expect } from 'chai';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { linkspan } from '../../../support/linkspan.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

/**
 * Right after an installation pods are still starting, and `linkspan check` waits for them. Its `--timeout`,
 * which is for one check, ended the client of all of them after that time, and everything that was asked
 * later said "The client is destroyed".
 */
describe('`linkspan check`', () => {
  const temp = useTempDir();

  it('may take longer in all than one check may', async () => {
    const server = createServer((_, response) => {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code: 404, message: 'nothing here' }));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const file = path.join(temp(), 'kubeconfig');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    writeFileSync(
      file,
      `{clusters: [{name: c, cluster: {server: "${url}"}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`,
    );
    const start = performance.now();
    const { code, stdout, stderr } = await linkspan(
      'check',
      '--kubeconfig',
      file,
      '--timeout',
      '500ms',
      '--wait',
      '2s',
    );
    expect(performance.now() - start, 'it waited').to.be.above(1500);
    expect(code).to.equal(1);
    expect(stdout + stderr).to.not.match(/KUBE_TIMEOUT|destroyed/);
    server.close();
  });
});

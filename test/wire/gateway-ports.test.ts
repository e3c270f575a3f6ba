import { expect } from 'chai';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { useTempDir } from '../support/temp-dir.ts';

const WEB = 'web.demo.svc.cluster.local';

/**
 * The port for probes is on the load balancer. It showed everything: `/metrics` names all services and who
 * uses them, `/ready/<namespace>/<service>` tells anybody what is exported, and no NetworkPolicy could close
 * that without closing the probes.
 */
for (const runtime of RUNTIMES) {
  describe(`ports of a gateway on ${runtime}`, () => {
    const dir = useTempDir();
    let origin: Origin;
    let gateway: GatewayProcess;

    beforeEach(async () => {
      const issuer = await createIssuer(await createAnchor({}), {});
      origin = await http1Origin();
      gateway = await GatewayProcess.start({
        runtime,
        dir: dir(),
        identity: await issueLeaf(issuer, { identity: 'gateway.west' }),
        targets: [{ name: WEB, ports: [origin.port] }],
      });
    });
    afterEach(async () => {
      await gateway.kill();
      origin.close();
    });

    const ask = async (port: number, path: string, method = 'GET') => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method });
      return { status: answer.status, body: await answer.text() };
    };

    it('the one for other clusters says whether it is ready and lives, and nothing else', async () => {
      expect(await ask(gateway.probe, '/ready')).to.deep.equal({ status: 200, body: 'ready\n' });
      expect(await ask(gateway.probe, '/live')).to.deep.equal({ status: 200, body: 'live\n' });
      for (const path of [
        '/metrics',
        '/ready/demo/web',
        '/ready/',
        '/proxy-log-level',
        '/try',
        '/',
        '/ready?',
        '//metrics',
      ])
        expect((await ask(gateway.probe, path)).status, path).to.equal(path === '/ready?' ? 200 : 404);
      const unknown = await ask(gateway.probe, '/metrics');
      expect(unknown.body).to.equal('not found; this port has /ready, /live\n');
      expect((await ask(gateway.probe, '/proxy-log-level', 'PUT')).status).to.equal(404);
    });

    it('the one for this cluster has the rest', async () => {
      for (const path of ['/ready', '/live', '/metrics', '/ready/demo/web', '/proxy-log-level'])
        expect((await ask(gateway.admin, path)).status, path).to.equal(200);
    });
  });
}

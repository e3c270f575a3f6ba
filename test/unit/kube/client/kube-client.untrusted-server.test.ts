import { expect } from 'chai';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../../../src/base/clock.ts';
import { LinkspanError, messageOf } from '../../../../src/api/errors/linkspan-error.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import { anonymousAccess } from '../../../../src/kube/client/access.ts';
import { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { services } from '../../../../src/api/kubernetes/resource.ts';

/**
 * istio#15911, kiali#4594: behind Rancher's proxy the CA is the proxy's. Node's advice ("try running Node.js
 * with --use-system-ca") led people astray: no pod's flags help.
 */
describe('an API server whose certificate the kubeconfig does not trust', () => {
  let server: Server;
  let url: string;

  before(async () => {
    const issuer = await createIssuer(await createAnchor({}), {});
    const { cert, key } = await issueLeaf(issuer, { identity: 'localhost' });
    server = createServer({ cert, key }, (_, response) => response.end('{}'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `https://localhost:${(server.address() as AddressInfo).port}`;
  });
  after(() => server.close());

  for (const [story, ca] of [
    ['another authority', async () => (await createAnchor({})).cert],
    ['no authority', () => Promise.resolve(undefined)],
  ] as const)
    it(`is named with what helps, which is not Node's advice: ${story}`, async () => {
      const access = { ...anonymousAccess(url), ca: await ca() };
      const client = new KubeClient(access, { clock: systemClock, random: Math.random, maxTries: 1 });
      try {
        await client.get(services, { namespace: 'demo', name: 'web' });
        expect.fail('it is not trusted');
      } catch (error) {
        expect(error).to.be.instanceOf(LinkspanError);
        const { code, message, hint } = error as LinkspanError;
        expect(code).to.equal('KUBE_UNREACHABLE');
        expect(message).to.include('no certificate authority of the kubeconfig has issued it');
        expect(`${message} ${messageOf(error)}`).not.to.include('Node.js');
        expect(hint).to.include('certificate-authority-data');
      } finally {
        await client.close();
      }
    });
});

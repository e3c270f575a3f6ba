import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { KubeClient } from '../../src/kube/client/kube-client.ts';
import { namespaces } from '../../src/api/kubernetes/resource.ts';
import { useTempDir } from '../support/temp-dir.ts';
import { sharedClusters } from '../testbed/shared.ts';

describe('a kubeconfig whose plugin gives a client certificate', () => {
  const directory = useTempDir();

  it('is let in by an API server as who the certificate says', async () => {
    // teleport#3691: such requests were anonymous.
    const { east } = await sharedClusters();
    const config = parse(east.kubeconfig) as { users: { name: string; user: Record<string, string> }[] };
    const [admin] = config.users;
    const pem = (key: string) => Buffer.from(admin?.user[key] ?? '', 'base64').toString('utf8');
    const status = {
      clientCertificateData: pem('client-certificate-data'),
      clientKeyData: pem('client-key-data'),
    };
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', `console.log(${JSON.stringify(JSON.stringify({ status }))})`],
      interactiveMode: 'Never',
    };
    const file = path.join(directory(), 'config');
    writeFileSync(file, stringify({ ...config, users: [{ name: admin?.name, user: { exec } }] }));
    const client = new KubeClient(loadAccess({ file }), { clock: systemClock, random: Math.random });
    try {
      const found = await client.get(namespaces, { name: 'default' });
      expect(found.metadata?.name).to.equal('default');
    } finally {
      await client.close();
    }
  });
});

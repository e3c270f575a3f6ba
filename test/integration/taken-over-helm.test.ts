import type { V1ConfigMap, V1Deployment } from '@kubernetes/client-node';
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { configMaps, deployments } from '../../src/api/kubernetes/resource.ts';
import { createAnchor } from '../../src/identity/authority/issue.ts';
import { CHARTS, helm, MULTICLUSTER } from '../support/chart.ts';
import { closedIn } from '../support/closed-in.ts';
import { find } from '../support/cluster-objects.ts';
import { root } from '../support/runtime-process.ts';
import { useTempDir } from '../support/temp-dir.ts';
import { binaries } from '../testbed/binaries.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { bareCluster } from '../testbed/shared.ts';

const GUIDE = path.join(root, 'docs/guides/cluster-taken-over.md');
const EAST = 'east.cluster.local';
const SOUTH = 'south.cluster.local';

/**
 * Who has installed with Helm takes the anchor away with Helm. The command stood on the page and had never
 * been run: Helm gives back what `--reuse-values` has and `null` takes away.
 */
describe('the guide for a cluster that was taken over, with Helm', () => {
  const dir = useTempDir();
  const closed = closedIn(after);
  let west: Cluster;

  before(async () => {
    west = closed(await bareCluster('west'), (one) => one.stop());
    await west.apply(await helm('template', path.join(CHARTS, 'linkspan-crds')));
  });

  it("takes the anchor and the domain away, and leaves the others'", async () => {
    const values = path.join(dir(), 'values.json');
    const anchor = async () => (await createAnchor({})).ca;
    writeFileSync(
      values,
      JSON.stringify({
        createNamespaceMetadataJob: false,
        identity: { anchors: { [EAST]: await anchor(), [SOUTH]: await anchor() } },
        gateway: { allowTrustDomains: [EAST, SOUTH] },
        egress: { clients: false },
      }),
    );
    const chart = path.join(CHARTS, 'linkspan');
    const cluster = ['--kubeconfig', west.kubeconfigFile, '-n', MULTICLUSTER];
    await helm('install', 'linkspan', chart, ...cluster, '--create-namespace', '-f', values);
    expect(await anchors()).to.have.members([`${EAST}.crt`, `${SOUTH}.crt`]);
    expect(await gatewayArgs()).to.include(EAST);

    const command = /`(helm upgrade [^`]*)`/.exec(readFileSync(GUIDE, 'utf8'))?.[1] ?? '';
    expect(command).to.match(/--kube-context west .*east/);
    const program = `export KUBECONFIG='${west.kubeconfigFile}'\nhelm() { '${binaries(['helm']).helm}' "$@"; }\nCHART='${chart}'\n`;
    await promisify(execFile)('bash', ['--norc', '-euo', 'pipefail', '-c', program + command]);
    expect(await anchors()).to.deep.equal([`${SOUTH}.crt`]);
    const args = await gatewayArgs();
    expect(args).not.to.include(EAST);
    // The next upgrade does not bring it back.
    await helm('upgrade', 'linkspan', chart, ...cluster, '--reuse-values');
    expect(await anchors()).to.deep.equal([`${SOUTH}.crt`]);
    expect(await gatewayArgs()).not.to.include(EAST);
  });

  async function anchors(): Promise<string[]> {
    const found: V1ConfigMap | undefined = await find(west, configMaps, {
      namespace: MULTICLUSTER,
      name: 'linkspan-anchors',
    });
    return Object.keys(found?.data ?? {});
  }

  async function gatewayArgs(): Promise<string[]> {
    const found: V1Deployment | undefined = await find(west, deployments, {
      namespace: MULTICLUSTER,
      name: 'linkerd-gateway',
    });
    return found?.spec?.template.spec?.containers[0]?.args ?? [];
  }
});

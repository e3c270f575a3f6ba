import { expect } from 'chai';
import path from 'node:path';
import { clientOf, ensureNamespace } from '../support/cluster-objects.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { freePort } from '../support/free-port.ts';
import { apply, installCrd, linkObjects } from '../support/linked-clusters.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { root, RuntimeProcess } from '../support/runtime-process.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';
import { links as linkResource } from '../../src/api/link/link-schema.ts';

const wait = { everyMs: 200 };

/** `linkspan controller` as people run it. */
class ControllerProcess extends RuntimeProcess {
  static async start(...flags: string[]): Promise<ControllerProcess> {
    const admin = await freePort();
    const said = [path.join(root, 'bin/linkspan.js'), 'controller', ...flags];
    const started = new ControllerProcess('node', [...said, '--admin', `127.0.0.1:${admin}`], admin);
    await eventually('it can be scraped', () => started.metrics(), wait);
    return started;
  }
}

// A controller whose account may not write status, or whom a webhook refuses, left conditions that stood
// still for ever; with Events it was the same; and nobody but readers of debug logs could know.
describe('what a controller knows and cannot write', () => {
  let east: Cluster;
  let west: Cluster;
  let links: string;
  let ns: string;
  let controller: ControllerProcess;
  const policy = () => `no-word-${ns}`;

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    links = await createNamespace(east, 'links');
    ns = await createNamespace(west, 'unwritten');
    await ensureNamespace(east, ns);
    await apply(east, ...refusing());
    // It is in force when the first write is refused.
    await apply(east, ...linkObjects(west, links, 'west', ownSelectors(ns)));
    const ref = { namespace: links, name: 'west' };
    const touch = () =>
      clientOf(east)
        .patch(linkResource, ref, { status: { mirrorCount: 0 } }, { type: 'merge', subresource: 'status' })
        .then(
          () => false,
          () => true,
        );
    await eventually('the policy is in force', touch, wait);
    controller = await ControllerProcess.start(
      '--kubeconfig',
      east.kubeconfigFile,
      '--namespace',
      links,
      '--data-path',
      'gateway',
    );
    // What is left out is told by an Event.
    const ports = [
      { name: 'http', port: 80, targetPort: 8080 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ];
    await exportService(west, ns, 'web', { test: ns, spec: { ports } });
  });

  after(async () => {
    await controller.kill();
    await east.kubectl('delete', 'validatingadmissionpolicybinding,validatingadmissionpolicy', policy());
  });

  function refusing(): object[] {
    const rule = (group: string, resources: string[], version: string) => ({
      apiGroups: [group],
      apiVersions: [version],
      operations: ['CREATE', 'UPDATE'],
      resources,
    });
    return [
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicy',
        metadata: { name: policy() },
        spec: {
          failurePolicy: 'Fail',
          matchConstraints: {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': links } },
            resourceRules: [
              rule('multicluster.linkerd.io', ['links/status'], '*'),
              rule('', ['events'], 'v1'),
            ],
          },
          validations: [{ expression: 'false', message: 'nobody may say anything here' }],
        },
      },
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicyBinding',
        metadata: { name: policy() },
        spec: { policyName: policy(), validationActions: ['Deny'] },
      },
    ];
  }

  const admin = () => ['--controller', `http://127.0.0.1:${controller.admin}`];
  const flags = () => ['--kubeconfig', east.kubeconfigFile, '--controller-namespace', links, ...admin()];

  it('is counted in a scrape, and in the log once', async () => {
    const failures = async (name: string) =>
      Number(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'm').exec(await controller.metrics())?.[1] ?? 0);
    await eventually('status', async () => (await failures('linkspan_link_status_write_failures')) > 1, wait);
    await eventually('Events', async () => (await failures('linkspan_event_write_failures')) > 0, wait);
    expect(await controller.metrics()).to.contain(
      'linkspan_link_status_write_failures{target_cluster_name="west"}',
    );
    for (const msg of ['link status not written, trying again', 'event not written'])
      expect(controller.log.split(`"msg":"${msg}"`).length - 1, msg).to.equal(1);
  });

  it('is said by the verbs that ask the controller', async () => {
    const both = async () => {
      const { stdout } = await keptLinkspan('mirrors', ...flags());
      return /^Link \S+\/west: .*not be written: status: .*may say anything/m.test(stdout) &&
        /^Link \S+\/west: .*not be written: Events: .*may say anything/m.test(stdout)
        ? stdout
        : undefined;
    };
    await eventually('both are said', both, wait);
    const told = await keptLinkspan('explain', 'link', 'west', ...flags());
    expect(told.stdout).to.match(/^Not written +status: .*nobody may say anything here/m);
  });
});

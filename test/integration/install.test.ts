import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { text as readText } from 'node:stream/consumers';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import {
  configMaps,
  deployments,
  namespaces,
  secrets,
  serviceAccounts,
  services,
} from '../../src/api/kubernetes/resource.ts';
import { parseManifests, titleOf } from '../../src/manifests/manifests.ts';
import { storedValues, valueAt } from '../../src/install/values.ts';
import { closedIn } from '../support/closed-in.ts';
import { change, find, remove } from '../support/cluster-objects.ts';
import { expectGolden } from '../support/golden.ts';
import { keptLinkspan, linkspan, type Outcome } from '../support/linkspan.ts';
import { useTempDir } from '../support/temp-dir.ts';
import { binaries } from '../testbed/binaries.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { ownClusters } from '../testbed/shared.ts';

const HOME = 'linkerd-multicluster';

interface Kubeconfig {
  users: { name: string; user: object }[];
  clusters: { name: string; cluster: object }[];
}

/**
 * What people do first, and what goes wrong first: a cluster that has something already, an installation that
 * was cut short, values that the next version must not forget, and an uninstall that takes what is not its
 * own. Nothing may be written by halves.
 */
describe('install, upgrade and uninstall', () => {
  const closed = closedIn(after);
  let cluster: Cluster;
  let helm: string;
  const dir = useTempDir();

  const run = (verb: string, ...args: string[]): Promise<Outcome> =>
    keptLinkspan(verb, '--kubeconfig', cluster.kubeconfigFile, ...args);
  const install = (...args: string[]) => run('install', '--helm', helm, '--wait', '0s', ...args);
  const upgrade = (...args: string[]) => run('upgrade', '--helm', helm, '--wait', '0s', ...args);
  const uninstall = (...args: string[]) => run('uninstall', ...args);
  const well = ({ code, stdout, stderr }: Outcome): string => {
    expect(code, stderr).to.equal(0);
    return stdout;
  };
  const refused = ({ code, stdout, stderr }: Outcome): string => {
    expect(code, stdout).to.equal(1);
    expect(stdout).to.equal('');
    return stderr;
  };
  const home = () => find(cluster, namespaces, { name: HOME });
  const gateway = () => find(cluster, services, { namespace: HOME, name: 'linkerd-gateway' });
  const issuer = async () =>
    (await find(cluster, secrets, { namespace: HOME, name: 'linkspan-issuer' }))?.data;
  const portOf = async () => (await gateway())?.spec?.ports?.map(({ port }) => port);
  const stored = async () => {
    const name = 'linkspan-config-overrides';
    const secret = await find(cluster, secrets, { namespace: HOME, name });
    return secret === undefined ? undefined : storedValues(secret);
  };
  /** What kubectl says of manifests, without writing them. Their namespace has to be there. */
  const kubectlApply = async (text: string): Promise<{ deployed: string; warnings: string }> => {
    const { kubectl } = binaries(['kubectl']);
    await cluster.kubectl('create', 'namespace', HOME);
    const args = ['--kubeconfig', cluster.kubeconfigFile, 'apply', '--dry-run=server', '-f', '-'];
    const child = spawn(kubectl, args, { stdio: 'pipe' });
    child.stdin.end(text);
    const [deployed, warnings] = await Promise.all([readText(child.stdout), readText(child.stderr)]);
    await cluster.kubectl('delete', 'namespace', HOME);
    // It was made without kubectl's annotation, which kubectl remarks on.
    return { deployed, warnings: warnings.replaceAll(/^Warning: resource namespaces\/.*\n/gm, '') };
  };
  /** A kubeconfig for somebody else, or for elsewhere. */
  const kubeconfig = (name: string, change: (config: Kubeconfig) => void): string => {
    const config = parse(cluster.kubeconfig) as Kubeconfig;
    change(config);
    const file = path.join(dir(), name);
    writeFileSync(file, stringify(config), { mode: 0o600 });
    return file;
  };
  const everything = async (): Promise<string[]> => {
    const kinds =
      'deployments,services,serviceaccounts,secrets,configmaps,roles,rolebindings,clusterroles,clusterrolebindings,poddisruptionbudgets,horizontalpodautoscalers,networkpolicies,namespaces,crd';
    const lines = await cluster.kubectl('get', kinds, '-A', '--no-headers', '-o', 'name');
    return lines.split('\n').filter((line) => line !== '' && !line.includes('/system:'));
  };

  before(async function () {
    ({ helm } = binaries(['helm']));
    ({ east: cluster } = closed(await ownClusters(), (one) => one.giveBack()));
  });

  it('prints what kubectl applies without a warning', async () => {
    const { stdout, stderr, code } = await install('--ha');
    expect(code).to.equal(0);
    expect(stderr).to.include('a trust anchor and an issuer were made');
    const kinds = parseManifests(stdout, 'install').map(({ kind }) => kind);
    expect(kinds[0]).to.equal('Namespace');
    expect(kinds).to.include.members(['CustomResourceDefinition', 'Deployment', 'PodDisruptionBudget']);
    expect(kinds, 'hooks are for Helm').to.not.include('Job');
    const { deployed, ...asked } = await kubectlApply(stdout);
    expect(asked).to.deep.equal({ warnings: '' });
    expect(deployed).to.include('deployment.apps/linkerd-gateway created (server dry run)');
    const json = JSON.parse(well(await install('-o', 'json', '--ignore-cluster'))) as { kind: string };
    expect(json.kind).to.equal('List');
    const crd = parse(well(await run('install', '--helm', helm, '--crds'))) as { kind: string };
    expect(crd.kind).to.equal('CustomResourceDefinition');
    expect(await home(), 'printing writes nothing').to.equal(undefined);
  });

  it('refuses what is wrong, by name, and writes nothing', async () => {
    expect(refused(await install('--apply', '--set', 'gateway.prot=1'))).to.match(
      /\[VALUES_INVALID\] gateway\.prot: the chart has no such value \(did you mean gateway\.port\?\)/,
    );
    expect(refused(await install('--apply', '--context', 'nowhere'))).to.match(
      /\[KUBECONFIG_INVALID\].*nowhere/,
    );
    expect(refused(await run('install', '--apply', '--helm', '/no/helm'))).to.include(
      '[HELM_MISSING] /no/helm',
    );
    const usage = await install('--apply', '--gateway-service-type', 'Foo');
    expect(usage.code).to.equal(2);
    expect(usage.stderr).to.include('--gateway-service-type: must be LoadBalancer, NodePort, ClusterIP');
    expect(refused(await install('--apply', '--set', 'podMonitor.enabled=true'))).to.match(
      /\[KIND_NOT_SERVED\] the cluster has no kind PodMonitor of monitoring\.coreos\.com\/v1/,
    );
    expect(refused(await upgrade('--apply'))).to.match(/\[NOT_INSTALLED\].*linkspan install/);
    expect(await home()).to.equal(undefined);
  });

  it("does not take somebody else's object, and takes its new Namespace away again when refused", async () => {
    await cluster.kubectl('create', 'clusterrole', 'linkspan-egress', '--verb=get', '--resource=pods');
    expect(refused(await install('--apply'))).to.match(/\[APPLY_FOREIGN\].*ClusterRole linkspan-egress\./);
    await cluster.kubectl('delete', 'clusterrole', 'linkspan-egress');
    const bad = 'gateway.serviceAnnotations.Bad KEY=x';
    expect(refused(await install('--apply', '--set', bad))).to.match(
      /\[APPLY_REFUSED\] Service linkerd-multicluster\/linkerd-gateway: .*annotations/,
    );
    expect(await home()).to.equal(undefined);
  });

  it('lists the rights that are missing, before anything is written', async () => {
    await cluster.kubectl('create', 'serviceaccount', 'viewer');
    const subject = '--serviceaccount=default:viewer';
    await cluster.kubectl('create', 'clusterrolebinding', 'viewers', '--clusterrole=view', subject);
    const token = (await cluster.kubectl('create', 'token', 'viewer')).trim();
    const viewer = kubeconfig('viewer', (config) => {
      config.users = config.users.map(({ name }) => ({ name, user: { token } }));
    });
    const install = (...args: string[]) =>
      linkspan('install', '--kubeconfig', viewer, '--helm', helm, '--apply', ...args);
    const hidden = refused(await install());
    expect(hidden).to.match(
      /\[RIGHTS_MISSING\] you may not see what is installed: secrets .*--ignore-cluster/,
    );
    await cluster.kubectl('create', 'clusterrole', 'see', '--verb=get,list', '--resource=secrets');
    await cluster.kubectl('create', 'clusterrolebinding', 'see', '--clusterrole=see', subject);
    const stderr = refused(await install());
    expect(stderr).to.match(/\[RIGHTS_MISSING\] you may not .*create namespaces/);
    expect(stderr).to.include('create deployments.apps in linkerd-multicluster');
    expect(await home()).to.equal(undefined);
  });

  it('applies everything, keeps the values, and makes an issuer', async () => {
    const out = well(await install('--apply', '--gateway-port', '4200', '--set', 'egress.replicas=2'));
    expect(out)
      .to.include('Namespace linkerd-multicluster created')
      .and.match(/: installed\n$/);
    expect((await home())?.metadata?.labels).to.include({
      'linkerd.io/extension': 'multicluster',
      'pod-security.kubernetes.io/enforce': 'restricted',
    });
    expect(await portOf()).to.include(4200);
    expect(await stored()).to.deep.equal({ gateway: { port: 4200 }, egress: { replicas: 2 } });
    expect(Object.keys((await issuer()) ?? {})).to.have.members(['tls.crt', 'tls.key', 'ca.crt']);
    const again = await install('--apply', '--gateway-port', '4200', '--set', 'egress.replicas=2');
    expect(well(again)).to.match(/: was installed already\n$/);
    expect(again.stderr).to.include('the issuer in Secret linkerd-multicluster/linkspan-issuer is kept');
  });

  it('says what is not available in time; what is applied stays', async () => {
    const { code, stderr } = await upgrade('--apply', '--wait', '1s');
    expect(code).to.equal(1);
    // No nodes here, so no pod ever runs.
    expect(stderr).to.match(
      /\[INSTALL_NOT_READY\] not available: .*linkerd-gateway 0\/1.*linkspan-egress 0\/2/,
    );
    expect(await portOf()).to.include(4200);
  });

  it('does not put values back that an install does not name', async () => {
    expect(refused(await install('--apply'))).to.match(
      /\[INSTALLED_OTHERWISE\].*with other values: egress\.replicas, gateway\.port.*linkspan upgrade/,
    );
    expect(await portOf()).to.include(4200);
  });

  it('completes what was there in part, and says so', async () => {
    await remove(cluster, deployments, { namespace: HOME, name: 'linkspan-egress' });
    await remove(cluster, serviceAccounts, { namespace: HOME, name: 'linkspan-egress' });
    const out = well(await install('--apply', '--gateway-port', '4200', '--set', 'egress.replicas=2'));
    expect(out).to.match(/was there in part and is complete now \(2 of \d+ objects were missing\)/);
    const egress = await find(cluster, deployments, { namespace: HOME, name: 'linkspan-egress' });
    expect(egress?.spec?.replicas).to.equal(2);
  });

  it('upgrades with the values and the issuer that are there, and removes what is no longer wanted', async () => {
    const before = await issuer();
    const out = well(
      await upgrade('--apply', '--set', 'controller.replicas=2', '--set', 'egress.enabled=false'),
    );
    expect(out).to.include('Deployment linkerd-multicluster/linkspan-egress deleted (no longer needed)');
    expect(out).to.include('ClusterRole linkspan-egress deleted');
    expect(await issuer()).to.deep.equal(before);
    expect(await portOf()).to.include(4200);
    const values = (await stored()) ?? {};
    expect(valueAt(values, 'gateway.port')).to.equal(4200);
    expect(valueAt(values, 'controller.replicas')).to.equal(2);
    expect(valueAt(values, 'egress.replicas'), 'kept for when it comes back').to.equal(2);
  });

  it("is in nobody's way: an autoscaler's or a person's field is a conflict by name", async () => {
    await cluster.kubectl('-n', HOME, 'scale', 'deployment/linkspan-controller', '--replicas=5');
    expect(refused(await upgrade('--apply'))).to.match(
      /\[APPLY_CONFLICT\] Deployment linkerd-multicluster\/linkspan-controller: \.spec\.replicas/,
    );
    well(await upgrade('--apply', '--force'));
    const controller = await find(cluster, deployments, { namespace: HOME, name: 'linkspan-controller' });
    expect(controller?.spec?.replicas).to.equal(2);
  });

  it('leaves a Helm release to Helm', async () => {
    const ref = { namespace: HOME, name: 'linkspan-controller' };
    const release = (name: string | null) =>
      change(cluster, deployments, ref, { metadata: { annotations: { 'meta.helm.sh/release-name': name } } });
    await release('mc');
    for (const stderr of [refused(await upgrade('--apply')), refused(await uninstall('--apply'))])
      expect(stderr).to.match(/\[HELM_RELEASE\].*release mc.*helm upgrade/);
    await release(null);
  });

  it('does not uninstall while clusters are linked', async () => {
    await cluster.apply({
      apiVersion: 'multicluster.linkerd.io/v1alpha3',
      kind: 'Link',
      metadata: { name: 'west', namespace: HOME },
      spec: {
        targetClusterName: 'west',
        targetClusterDomain: 'cluster.local',
        clusterCredentialsSecret: 'x',
      },
    });
    expect(refused(await uninstall('--apply'))).to.include(
      '[LINKS_EXIST] Please unlink the following clusters before uninstalling multicluster: west.',
    );
    expect(await gateway()).to.not.equal(undefined);
    const forced = await uninstall('--force');
    expect(forced.stderr).to.include('Links and what they have mirrored stay: linkerd-multicluster/west');
    expect(parseManifests(well(forced), 'x').map(titleOf)).to.not.include(`Namespace ${HOME}`);
    await cluster.kubectl('-n', HOME, 'delete', 'link', 'west');
  });

  it('prints what kubectl deletes', async () => {
    const stubs = well(await uninstall());
    expect(parseManifests(stubs, 'uninstall').map(titleOf)).to.include(`Deployment ${HOME}/linkerd-gateway`);
    expectGolden('cli/uninstall/stubs.yaml', stubs);
  });

  it("keeps the namespace for others' objects, and else leaves nothing", async () => {
    await cluster.kubectl('-n', HOME, 'create', 'configmap', 'theirs');
    const printed = await uninstall();
    expect(printed.stderr).to.include(
      `Namespace ${HOME} stays, it has others' objects: ConfigMap ${HOME}/theirs`,
    );
    expect(parseManifests(well(printed), 'uninstall').map(titleOf)).to.not.include(`Namespace ${HOME}`);
    await remove(cluster, configMaps, { namespace: HOME, name: 'theirs' });
    // As a process of its own, as `install` below and above is once.
    const out = await linkspan('uninstall', '--kubeconfig', cluster.kubeconfigFile, '--apply', '--crds');
    expect(well(out)).to.include(`Namespace ${HOME} deleted`);
    expect((await everything()).filter((name) => /link(span|erd)/.test(name))).to.deep.equal([]);
    const again = await uninstall('--apply');
    expect(again.stderr).to.include('nothing of Linkspan is installed');
  });

  it("takes the place of Linkerd's extension: the same objects, its issuer, nothing of the old pods left", async () => {
    await cluster.kubectl('create', 'namespace', 'linkerd');
    const values = stringify({ clusterDomain: 'cluster.local', identityTrustDomain: 'mesh.example' });
    await cluster.kubectl(
      '-n',
      'linkerd',
      'create',
      'configmap',
      'linkerd-config',
      `--from-literal=values=${values}`,
    );
    await cluster.kubectl('create', 'namespace', HOME);
    // Linkerd's chart does so, for the init containers of its pods.
    await cluster.kubectl('label', 'namespace', HOME, 'pod-security.kubernetes.io/enforce=privileged');
    const labels = { 'linkerd.io/extension': 'multicluster', app: 'linkerd-gateway' };
    const metadata = { name: 'linkerd-gateway', namespace: HOME, labels };
    const pause = { name: 'pause', image: 'registry.k8s.io/pause:3.2' };
    await cluster.apply([
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { ...metadata, annotations: { 'linkerd.io/created-by': 'linkerd/helm edge' } },
        spec: { selector: { app: 'linkerd-gateway' }, ports: [{ name: 'mc-gateway', port: 4143 }] },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata,
        spec: {
          replicas: 1,
          selector: { matchLabels: { app: 'linkerd-gateway' } },
          template: {
            metadata: { labels, annotations: { 'linkerd.io/inject': 'enabled' } },
            spec: { containers: [pause] },
          },
        },
      },
    ]);
    const before = await gateway();
    const { code, stderr } = await install('--apply');
    expect(code, stderr).to.equal(0);
    expect((await home())?.metadata?.labels?.['pod-security.kubernetes.io/enforce']).to.equal('privileged');
    expect(stderr).to.include(
      "Linkerd is installed: gateway and egress get their certificates from Linkerd's",
    );
    const after = await gateway();
    expect(after?.metadata?.uid).to.equal(before?.metadata?.uid);
    expect(after?.spec?.clusterIP).to.equal(before?.spec?.clusterIP);
    const deployment = await find(cluster, deployments, { namespace: HOME, name: 'linkerd-gateway' });
    const { spec, metadata: pod } = deployment?.spec?.template ?? {};
    expect(spec?.containers.map(({ name }) => name)).to.deep.equal(['gateway']);
    expect(spec?.containers[0]?.args).to.include.members([
      '--identity=linkerd',
      '--trust-domain=mesh.example',
    ]);
    expect(pod?.annotations).to.include({ 'linkerd.io/inject': 'disabled' });
    expect(await issuer()).to.equal(undefined);
    expect(valueAt((await stored()) ?? {}, 'identity.source')).to.equal('linkerd');
    well(await uninstall('--apply'));
    expect(await home()).to.equal(undefined);
    const roles = await cluster.kubectl('-n', 'linkerd', 'get', 'roles', '-o', 'name');
    expect(roles, "also what was in Linkerd's namespace").to.equal('');
  });

  it('says that a cluster cannot be reached', async () => {
    const nowhere = kubeconfig('nowhere', (config) => {
      config.clusters = config.clusters.map(({ name, cluster: one }) => ({
        name,
        cluster: { ...one, server: 'https://127.0.0.1:1' },
      }));
    });
    const args = ['--kubeconfig', nowhere, '--helm', helm, '--apply'];
    const stderr = refused(await linkspan('install', ...args));
    expect(stderr).to.match(/\[KUBE_UNREACHABLE\]/);
  });
});

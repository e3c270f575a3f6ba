import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type Context, output } from './clusters.ts';
import { ROOT, type Run } from './session.ts';

const RELEASE = 'linkspan';
const CHART = path.join(ROOT, 'charts/linkspan');
const CRDS = path.join(ROOT, 'charts/linkspan-crds');

/** Linkspan in one cluster, put there as its users do. */
export interface Installation {
  readonly context: Context;
  /** In words. */
  readonly way: string;
  install(): Promise<void>;
  /** With values in addition to those that it has, as `name=value`; resolves when all pods are replaced. */
  upgrade(...values: string[]): Promise<void>;
  /** To the values for high availability. */
  upgradeToHa(): Promise<void>;
  /** With everything that is to be done by hand after it. */
  uninstall(): Promise<void>;
}

/** Files of `linkspan identity issuer`, which both clusters are given. */
export interface IssuerFiles {
  readonly anchors: string;
  readonly certificate: string;
  readonly key: string;
}

/** Makes a trust anchor and an issuer for both clusters; the files are removed when `use` is done. */
export async function withIssuer<T>({ linkspan }: Run, use: (files: IssuerFiles) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'linkspan-e2e-'));
  try {
    const [anchor, issuer] = [path.join(dir, 'anchor'), path.join(dir, 'issuer')];
    await linkspan('identity', 'anchor', '--out', anchor);
    await linkspan('identity', 'issuer', '--anchor', anchor, '--out', issuer);
    return await use({
      anchors: path.join(issuer, 'ca.crt'),
      certificate: path.join(issuer, 'issuer.crt'),
      key: path.join(issuer, 'issuer.key'),
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** By `linkspan install`, which applies by itself. */
export function byCommand(run: Run, context: Context, files: IssuerFiles): Installation {
  const values = imageValues(run.image);
  const flags = () => [
    ...context.flags,
    `--identity-trust-anchors-file=${files.anchors}`,
    `--identity-issuer-certificate-file=${files.certificate}`,
    `--identity-issuer-key-file=${files.key}`,
    ...values.flatMap((value) => ['--set', value]),
  ];
  let ha: string[] = [];
  const upgrade = async () => {
    await run.linkspan('upgrade', '--apply', ...flags(), ...ha);
    await allRolledOut(run, context);
  };
  return {
    context,
    way: '`linkspan install --apply`',
    install: async () => {
      await run.linkspan('install', '--apply', ...flags());
      await allRolledOut(run, context);
    },
    upgrade: (...more) => {
      values.push(...more);
      return upgrade();
    },
    upgradeToHa: async () => {
      ha = ['--ha'];
      values.push(...(await haValues(context)));
      await upgrade();
    },
    uninstall: async () => {
      await run.linkspan('uninstall', '--apply', '--crds', ...context.flags);
    },
  };
}

/** By Helm's own commands, with the charts. */
export function byHelm(run: Run, context: Context, files: IssuerFiles): Installation {
  const helm = (...args: string[]) => output(run.helm, [...args, ...context.helmFlags]);
  const namespace = ['--namespace', run.system];
  const values = imageValues(run.image);
  let ha: string[] = [];
  const flags = () => [
    ...namespace,
    '--set-file',
    `identityTrustAnchorsPEM=${files.anchors}`,
    '--set-file',
    `identity.issuer.tls.crtPEM=${files.certificate}`,
    '--set-file',
    `identity.issuer.tls.keyPEM=${files.key}`,
    ...values.flatMap((value) => ['--set', value]),
  ];
  const upgrade = async () => {
    await helm('upgrade', RELEASE, CHART, ...ha, ...flags());
    await allRolledOut(run, context);
  };
  return {
    context,
    way: '`helm install`',
    install: async () => {
      await helm('install', 'linkspan-crds', CRDS, ...namespace, '--create-namespace');
      await helm('install', RELEASE, CHART, ...flags());
      await allRolledOut(run, context);
    },
    upgrade: (...more) => {
      values.push(...more);
      return upgrade();
    },
    upgradeToHa: async () => {
      ha = ['--values', path.join(CHART, 'values-ha.yaml')];
      values.push(...(await haValues(context)));
      await upgrade();
    },
    uninstall: async () => {
      await helm('uninstall', RELEASE, ...namespace, '--wait');
      await helm('uninstall', 'linkspan-crds', ...namespace, '--wait');
      // Helm leaves the namespace that it made.
      await context.kubectl('delete', 'namespace', run.system, '--wait=true', '--timeout=120s');
    },
  };
}

/** Waits until every pod of Linkspan in the cluster is of the latest template and ready. */
async function allRolledOut({ system, rolledOut }: Run, context: Context): Promise<void> {
  const list = await context.json<{ items: { metadata: { name: string } }[] }>('-n', system, 'deployments');
  await Promise.all((list?.items ?? []).map(({ metadata }) => rolledOut(context, system, metadata.name)));
}

function imageValues(image: string): string[] {
  const colon = image.lastIndexOf(':');
  return [`image.repository=${image.slice(0, colon)}`, `image.tag=${image.slice(colon + 1)}`];
}

/** No two pods on one node, as the values for high availability have it, needs as many nodes as pods. */
async function haValues(context: Context): Promise<string[]> {
  const nodes = await context.json<{ items: unknown[] }>('nodes');
  return (nodes?.items ?? []).length < 3 ? ['enablePodAntiAffinity=false'] : [];
}

import { CommandError, type Context } from './clusters.ts';
import type { Installation } from './installation.ts';
import { added, inventory } from './inventory.ts';
import type { Run } from './session.ts';
import { clientManifests, programManifests, webManifests } from './workloads.ts';

/** Life of the Links' tokens: the shortest that API servers give. */
const TOKEN_TTL = '10m';

/** From two clusters without anything to two that answer each other. */
export async function checkInstall(run: Run, installations: readonly Installation[]): Promise<void> {
  const { check } = run;
  for (const installation of installations) {
    const { context, way } = installation;
    await check(`\`check --pre\` finds ${context.name} fit`, () => greenCheck(run, context, '--pre'));
    await check(`${way} in ${context.name}`, async () => {
      await installation.install();
      return podsOf(run, context);
    });
  }
  await check('`link --mutual`, both Links synced', () => linkMutually(run));
  for (const { context } of installations)
    await check(`\`check\` in ${context.name} is green`, () => greenCheck(run, context));
}

/** Makes the workloads in both clusters. */
export async function startWorkloads(run: Run): Promise<string> {
  const { source, target, namespace } = run;
  for (const context of [source, target]) {
    await context.apply(programManifests(namespace));
    await context.apply(clientManifests(namespace, run.curlImage, run.nodeImage));
  }
  await target.apply(webManifests(namespace, run.nodeImage));
  await source.apply(webManifests(namespace, run.nodeImage, 'shop'));
  for (const context of [source, target]) {
    const pods = ['pod/curl', 'pod/client'];
    await context.kubectl('-n', namespace, 'wait', '--for=condition=Ready', ...pods, '--timeout=90s');
  }
  await run.rolledOut(target, namespace, 'web');
  await run.rolledOut(source, namespace, 'shop');
  return '';
}

/** Links both ways; may be called again, to follow a change of a gateway. Where each gateway is. */
export async function linkMutually(run: Run, ...flags: string[]): Promise<string> {
  const { source, target, linkspan } = run;
  const url = (flag: string, value: string | undefined) =>
    value === undefined ? [] : [`--${flag}=${value}`];
  await linkspan(
    'link',
    ...target.flags,
    `--source-context=${source.name}`,
    '--cluster-name=target',
    '--mutual',
    '--source-cluster-name=source',
    `--token-ttl=${TOKEN_TTL}`,
    ...url('api-server-address', run.apiServerAddress),
    ...url('source-api-server-address', run.sourceApiServerAddress),
    ...flags,
  );
  const gateways = await Promise.all(
    (
      [
        [source, 'target'],
        [target, 'source'],
      ] as const
    ).map(async ([context, link]) => {
      const jsonpath = `jsonpath={.spec.gatewayAddress}:{.spec.gatewayPort}`;
      return context.kubectl('-n', run.system, 'get', 'link', link, '-o', jsonpath);
    }),
  );
  return gateways.join(' and ');
}

/** A Service of each cluster answers plain pods of the other. */
export async function checkBothWays(run: Run): Promise<void> {
  const { source, target, namespace, check, until, curl } = run;
  for (const [from, to, service, link] of [
    [source, target, 'web', 'target'],
    [target, source, 'shop', 'source'],
  ] as const)
    await check(`plain pods of ${from.name} are answered by ${service} of ${to.name}`, async () => {
      await to.kubectl('-n', namespace, 'label', 'service', service, 'mirror.linkerd.io/exported=true');
      let answer = '';
      await until(async () => {
        answer = await curl(`http://${service}-${link}/`, from);
        return answer.startsWith(service);
      });
      return answer.trim();
    });
}

/** Everything is taken away again, and nothing stays. */
export async function checkUninstall(
  run: Run,
  installations: readonly Installation[],
  before: ReadonlyMap<Context, ReadonlySet<string>>,
): Promise<void> {
  const { source, target, namespace, check, linkspan, until } = run;
  for (const [context, cluster] of [
    [source, 'target'],
    [target, 'source'],
  ] as const) {
    if ((await context.json('-n', run.system, 'link', cluster)) === undefined) continue;
    await check(`\`unlink\` in ${context.name} removes the Link with all its mirrors`, async () => {
      await linkspan('unlink', '--apply', `--cluster-name=${cluster}`, ...context.flags);
      const made = ['services', '-n', namespace, '-l', `mirror.linkerd.io/cluster-name=${cluster}`];
      await until(
        async () => ((await context.json<{ items: unknown[] }>(...made))?.items ?? []).length === 0,
      );
      return '';
    });
  }
  for (const installation of installations) {
    const { context } = installation;
    await check(`uninstalling leaves nothing in ${context.name}`, async () => {
      await installation.uninstall();
      await removeWorkloads(run, context);
      const left = () => inventory(context).then((now) => added(before.get(context) ?? new Set(), now));
      // Kubernetes deletes what belongs to what is gone a moment later.
      await until(async () => (await left()).length === 0, 60_000).catch(async () => {
        throw new Error(`still there: ${(await left()).join(', ')}`);
      });
      return `${before.get(context)?.size ?? 0} objects of all kinds, the same as before`;
    });
  }
  await check('what was there before is still there', async () => {
    for (const context of [source, target]) {
      const gone = added(await inventory(context), before.get(context) ?? new Set());
      if (gone.length > 0) throw new Error(`gone from ${context.name}: ${gone.join(', ')}`);
    }
    return '';
  });
}

export async function removeWorkloads({ namespace }: Run, context: Context): Promise<void> {
  await context.kubectl(
    'delete',
    'namespace',
    namespace,
    '--ignore-not-found',
    '--wait=true',
    '--timeout=120s',
  );
}

/**
 * Runs `linkspan check`: how many checks passed, and what it warns of.
 * @throws Error with all that it printed when one did not
 */
async function greenCheck({ linkspan }: Run, context: Context, ...flags: string[]): Promise<string> {
  try {
    const lines = (await linkspan('check', ...flags, ...context.flags)).split('\n');
    const passed = lines.filter((line) => line.startsWith('√')).length;
    const warnings = lines.filter((line) => line.startsWith('‼'));
    if (passed === 0) throw new Error(`nothing was checked: ${lines.join('\n')}`);
    return [`${passed} checks passed`, ...warnings].join('; ');
  } catch (error) {
    if (error instanceof CommandError) throw new Error(`${error.stdout}\n${error.stderr}`, { cause: error });
    throw error;
  }
}

async function podsOf({ system }: Run, context: Context): Promise<string> {
  const format = 'jsonpath={range .items[*]}{.metadata.name}{" "}{.status.readyReplicas}{"\\n"}{end}';
  const text = await context.kubectl('-n', system, 'get', 'deployments', '-o', format);
  return text.trim().split('\n').join(', ');
}

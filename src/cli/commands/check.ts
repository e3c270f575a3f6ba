import { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { DEFAULT_LINKERD_NAMESPACE, DEFAULT_NAMESPACE } from '../../api/names.ts';
import { readVersion } from '../../base/version.ts';
import { type Category, type CheckOutcome, runChecks } from '../../check/check.ts';
import { CheckFacts } from '../../check/check-facts.ts';
import { linkerdChecks } from '../../check/linkerd-checks.ts';
import { linkspanChecks } from '../../check/linkspan-checks.ts';
import { preChecks, type PreOptions } from '../../check/pre-checks.ts';
import { checkReport, headingText, outcomeText, type Paint, summaryText } from '../../check/report.ts';
import { helmProgram } from '../../install/helm.ts';
import { dryRunInstall } from '../../install/dry-run.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { MIRRORS_PAGE, CONTROLLER_TRY_PAGE } from '../../api/answers/admin-answers.ts';
import { askControllers, controllerFlags, mergeReports } from '../queries/controller-answers.ts';
import { clusterFlags, durationFlag, openCluster, withClusterFlags } from '../flags/cluster-flags.ts';
import { helmFlagsOf, valueFlags, withValueFlags } from '../flags/install-flags.ts';
import { Progress, toned } from '../output/terminal.ts';

const schema = z.strictObject({
  ...clusterFlags,
  pre: z.boolean().default(false),
  namespace: z.string(),
  controller: controllerFlags.controller,
  linkerdNamespace: z.string(),
  wait: durationFlag,
  timeout: durationFlag,
  ...valueFlags,
  output: z.enum(['table', 'json', 'short'], { error: 'must be table, json or short' }),
});
type Settings = z.output<typeof schema>;

/** `linkspan check`: is everything in order, and if not, what is it. */
export function checkCommand(): Command {
  const command = withValueFlags(new Command('check'))
    .description('check the multicluster installation of a cluster and its Links, or whether one can be made')
    .option('--pre', 'before an installation: whether it can be made (with these values)')
    .option('-n, --namespace <ns>', 'namespace of the installation', DEFAULT_NAMESPACE)
    .option('-L, --linkerd-namespace <ns>', "namespace of Linkerd's control plane", DEFAULT_LINKERD_NAMESPACE)
    .option('--controller <urls>', "the controllers' admin ports, instead of their pods")
    .option('--wait <time>', 'how long checks that may still come right are repeated', '5m')
    .option('--timeout <time>', 'time limit of one check', '10s')
    .option('-o, --output <format>', 'table, json (as Linkerd prints it) or short (what is wrong)', 'table')
    .addHelpText(
      'after',
      '\nExit codes: 0 all passed, or with warnings only; 1 a check failed; 2 wrong usage.',
    );
  return withClusterFlags(command, 'cluster to check').action(async (options: unknown) => {
    const flags = parseFlags(schema, options, 'check');
    // --timeout is the time for one check; there is none for all together.
    const { client } = openCluster(flags);
    try {
      if (!(await check(client, flags))) process.exitCode = 1;
    } finally {
      await client.close();
    }
  });
}

async function check(client: KubeClient, flags: Settings): Promise<boolean> {
  const asked = { controllerNamespace: flags.namespace, controller: flags.controller };
  const facts = new CheckFacts({
    client,
    namespace: flags.namespace,
    linkerdNamespace: flags.linkerdNamespace,
    version: readVersion(),
    // The rest of the check's time is for what follows the targets' answers.
    targetMs: flags.timeout * 0.7,
    ask: async () => mergeReports((await askControllers(client, asked, MIRRORS_PAGE)).answers),
    tryGateways: async () => {
      const { answers, failures } = await askControllers(client, asked, CONTROLLER_TRY_PAGE);
      return { tries: answers, failures };
    },
  });
  const categories: Category[] = flags.pre
    ? [preChecks(facts, preOptions(client, flags))]
    : [linkerdChecks(facts), linkspanChecks(facts, systemClock)];
  const outcomes: CheckOutcome[] = [];
  const progress = new Progress();
  const print = printer(flags.output);
  const success = await runChecks(categories, {
    clock: systemClock,
    timeoutMs: flags.timeout,
    waitMs: flags.wait,
    onWaiting: (text) => {
      facts.forget();
      progress.show(text);
    },
    onOutcome: (outcome) => {
      progress.clear();
      print(outcome, outcomes.at(-1)?.category !== outcome.category);
      outcomes.push(outcome);
    },
  });
  if (flags.output === 'json')
    process.stdout.write(`${JSON.stringify(checkReport(outcomes, success), null, 2)}\n`);
  else process.stdout.write(summaryText(success, paint));
  return success;
}

const paint: Paint = (tone, text) => toned(tone, text);

/** Prints each outcome when it is known, so that results are visible while a later check waits. */
function printer(output: Settings['output']): (outcome: CheckOutcome, first: boolean) => void {
  if (output === 'json') return () => undefined;
  if (output === 'short')
    return (outcome) => {
      if (['warning', 'error'].includes(outcome.finding.result))
        process.stdout.write(outcomeText(outcome, paint));
    };
  let printed = false;
  return (outcome, first) => {
    if (first) process.stdout.write((printed ? '\n' : '') + headingText(outcome.category));
    printed = true;
    process.stdout.write(outcomeText(outcome, paint));
  };
}

function preOptions(client: KubeClient, flags: Settings): PreOptions {
  const helm = helmProgram(flags.helm);
  return {
    clock: systemClock,
    helm: async () => `helm ${(await helm.run(['version', '--short'])).trim()}`,
    dryRunInstall: () =>
      dryRunInstall(client, {
        verb: 'install',
        namespace: flags.namespace,
        linkerdNamespace: flags.linkerdNamespace,
        ha: flags.ha,
        flagValues: {},
        helmFlags: helmFlagsOf(flags),
        issuerFiles: undefined,
        distrusted: [],
        force: false,
        helm,
        version: readVersion(),
      }),
  };
}

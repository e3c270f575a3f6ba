import { Command } from 'commander';
import { z } from 'zod';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { readVersion } from '../../base/version.ts';
import { DashboardPoller } from '../../dashboard/dashboard-poller.ts';
import { startDashboard } from '../../dashboard/dashboard-server.ts';
import { readPageFiles } from '../../dashboard/page-files.ts';
import { commandLine } from '../../dashboard/shell-words.ts';
import { SnapshotFeed } from '../../dashboard/snapshot-feed.ts';
import type { Meta } from '../../dashboard/snapshot.ts';
import { clusterSource, type OpenSource } from '../dashboard/cluster-source.ts';
import { historyOf } from '../dashboard/history-source.ts';
import { openBrowser } from '../dashboard/open-browser.ts';
import { pageAnswers } from '../dashboard/page-answers.ts';
import { contextsFlags, timeoutFlag, withContextsFlags, withTimeoutFlag } from '../flags/cluster-flags.ts';
import { adviceFor } from '../output/failure-advice.ts';
import { openContexts } from '../traffic/open-clusters.ts';
import { windowFlag } from '../traffic/view-flags.ts';

const DEFAULT_PORT = 50_750;
const EVERY_MS = 2000;

const schema = z.strictObject({
  ...contextsFlags,
  controllerNamespace: z.string().min(1),
  tapAccount: z
    .string()
    .regex(/^[^/\s]+\/[^/\s]+$/, { error: 'must be <namespace>/<account>' })
    .optional(),
  window: windowFlag,
  port: z.coerce
    .number({ error: 'must be a number' })
    .int({ error: 'must be a whole number' })
    .min(0, { error: 'must be from 0 to 65535' })
    .max(65_535, { error: 'must be from 0 to 65535' }),
  open: z.boolean(),
  prometheus: z.string().min(1).optional(),
  timeout: timeoutFlag,
});
type Flags = z.output<typeof schema>;

/** `linkspan dashboard`: the page, for one person on this machine. */
export function dashboardCommand(): Command {
  const command = new Command('dashboard')
    .description(
      'show clusters, what passes between them and what fails in a browser; the page is served to this machine alone, and nothing can be changed there',
    )
    .option('--port <port>', 'port on the loopback address; 0: any that is free', String(DEFAULT_PORT))
    .option('--no-open', 'print the address, and open no browser')
    .option('-t, --window <time>', 'what numbers are of, 30m at most', '1m')
    .option(
      '--prometheus <where>',
      'Prometheus for what was earlier than half an hour ago: a URL, or [<context>/]<namespace>/<service>[:<port>], which is asked through the API server',
    )
    .option('--controller-namespace <ns>', 'namespace of the installation', DEFAULT_NAMESPACE)
    .option(
      '--tap-account <account>',
      '<namespace>/<account> whose token is asked for when somebody looks at requests (default: linkspan-tap of the installation)',
    );
  return withTimeoutFlag(withContextsFlags(command), '8s').action(async (options: unknown) => {
    await run(parseFlags(schema, options, 'dashboard'));
  });
}

async function run(flags: Flags): Promise<void> {
  const sources = openSources(flags);
  const history = historyOf(flags, sources);
  try {
    const feed = new SnapshotFeed(metaOf(flags, history?.name ?? null), systemClock);
    const { timeout: timeoutMs, tapAccount, port } = flags;
    const answers = pageAnswers(sources, { timeoutMs, tapAccount, history: history?.answers });
    const files = await readPageFiles();
    const dashboard = await startDashboard({ port, feed, files, answers, clock: systemClock });
    const poller = new DashboardPoller(sources, { feed, clock: systemClock, adviceFor });
    const ended = untilTold();
    process.stdout.write(`${dashboard.url}\n`);
    process.stderr.write('linkspan: whoever has this address can see what you can; Ctrl-C ends it\n');
    if (flags.open) openBrowser(dashboard.ticketUrl());
    await ended;
    await poller.close();
    await dashboard.close();
  } finally {
    await Promise.all([...sources.map((one) => one.close()), history?.close()]);
  }
}

/** @throws LinkspanError USAGE, KUBECONFIG_… */
function openSources(flags: Flags): OpenSource[] {
  const { window: windowMs, timeout: timeoutMs, controllerNamespace: namespace } = flags;
  return openContexts(flags).map(({ name: context, client }) =>
    clusterSource({ context, client, namespace }, { windowMs, timeoutMs }),
  );
}

function metaOf({ context = [], window }: Flags, prometheus: string | null): Meta {
  const [source = 'SOURCE', target = 'TARGET'] = context;
  return {
    v: 1,
    version: readVersion(),
    startedAt: systemClock.now(),
    windowMs: window,
    everyMs: EVERY_MS,
    prometheus,
    firstCommands: [
      commandLine(
        'linkspan',
        'link',
        '--context',
        target,
        '--source-context',
        source,
        '--cluster-name',
        'NAME',
      ),
      commandLine('linkspan', 'export', 'SERVICE', '-n', 'NAMESPACE', '--context', target),
      commandLine('linkspan', 'mirrors', '--context', source),
    ],
  };
}

/** Until somebody ends it, or closes the terminal. */
function untilTold(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
}

import path from 'node:path';
import { type Context, output } from './clusters.ts';
import type { Report } from './report.ts';

export const ROOT = path.join(import.meta.dirname, '../..');

/** What a run was told. */
export interface Setting {
  readonly source: Context;
  readonly target: Context;
  /** Of Linkspan. */
  readonly image: string;
  /**
   * With a `node` that runs TypeScript (22.18 or later): what the pods of the tests run in, whatever
   * Linkspan's own image has.
   */
  readonly nodeImage: string;
  readonly curlImage: string;
  /** The `helm` program. */
  readonly helm: string;
  /** URL of the target's API server, as the source's pods reach it; undefined: as the kubeconfig says. */
  readonly apiServerAddress: string | undefined;
  /** The same of the source's, for the target's pods. */
  readonly sourceApiServerAddress: string | undefined;
}

/** A run, as its checks use it. */
export interface Run extends Setting {
  /** Namespace of Linkspan, and of the workloads. */
  readonly system: string;
  readonly namespace: string;
  readonly check: (what: string, probe: () => Promise<string>) => Promise<void>;
  readonly say: (text: string) => void;
  /** Waits for a condition; failures of the probe count as "not yet". */
  readonly until: (probe: () => Promise<boolean>, timeoutMs?: number) => Promise<void>;
  /**
   * The body of a page that the plain curl pod of a cluster asks for; default: the source's. Rejects when the
   * answer is an error.
   */
  readonly curl: (url: string, from?: Context) => Promise<string>;
  /** Runs the CLI as people do; what it prints. */
  readonly linkspan: (...args: string[]) => Promise<string>;
  readonly rolledOut: (context: Context, namespace: string, name: string) => Promise<void>;
}

export function openRun(setting: Setting, report: Report): Run {
  const namespace = 'linkspan-e2e';
  return {
    ...setting,
    system: 'linkerd-multicluster',
    namespace,
    check: (what, probe) => report.step(what, probe),
    say: (text) => report.say(text),
    until,
    curl: (url, from = setting.source) => {
      const command = ['curl', '-sS', '--fail-with-body', '--max-time', '5', url];
      return from.kubectl('-n', namespace, 'exec', 'curl', '--', ...command);
    },
    linkspan: (...args) =>
      output(process.execPath, [path.join(ROOT, 'bin/linkspan.js'), ...args], {
        env: { ...process.env, LINKSPAN_HELM: setting.helm },
      }),
    rolledOut: async (context, where, name) => {
      await context.kubectl('-n', where, 'rollout', 'status', `deployment/${name}`, '--timeout=120s');
    },
  };
}

async function until(probe: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < end) {
    try {
      if (await probe()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const why = last instanceof Error ? `: ${last.message}` : '';
  throw new Error(`gave up waiting after ${timeoutMs / 1000} s${why}`, { cause: last });
}

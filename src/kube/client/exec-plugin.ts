import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { z } from 'zod';
import { FEW_VALUES } from '../../base/config.ts';
import { systemClock, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { renewal, type Auth, type ClientCertificate } from './auth.ts';

/** A plugin may ask a person to log in; one that takes longer hangs. */
const PLUGIN_MS = 300_000;
/** Longest answer of a plugin: a token or a certificate has some KB. */
const MAX_ANSWER = 1024 * 1024;

const text = z.string().nullish();
/** A kubeconfig's `exec` (client-go `api.ExecConfig`). */
export const execSchema = z.looseObject({
  apiVersion: z.string({ error: 'has no apiVersion' }),
  command: z.string({ error: 'has no command' }).min(1, { error: 'has no command' }),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
  installHint: text,
  interactiveMode: z.enum(['Never', 'IfAvailable', 'Always']).nullish(),
  provideClusterInfo: z.boolean().nullish(),
});
export type ExecConfig = z.output<typeof execSchema>;

const credentialSchema = z.object({
  status: z.object({
    token: text,
    clientCertificateData: text,
    clientKeyData: text,
    expirationTimestamp: text,
  }),
});
type Credential = z.output<typeof credentialSchema>['status'];

export interface ExecPluginOptions {
  readonly exec: ExecConfig;
  /**
   * Folder of the kubeconfig: a command with a folder in it starts from there, one without is looked for on
   * the PATH.
   */
  readonly directory: string;
  /** The cluster, for plugins that ask for it (`provideClusterInfo`). */
  readonly cluster: Readonly<Record<string, unknown>>;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Makes an error of what went wrong. */
  readonly failed: (what: string, cause?: unknown) => Error;
}

/**
 * Credentials by a program (KEP-541, `client.authentication.k8s.io`), as kubectl gets them: a token, a client
 * certificate, or both, kept until they expire. What the program says to people, such as where to log in,
 * goes to stderr as it comes; where there is a terminal it may ask. What a server refuses (401) is got anew,
 * as by client-go.
 * @throws what `failed` makes when the program cannot be run, fails, or answers with something else
 */
export function execPluginAuth(options: ExecPluginOptions): Auth {
  const { clock = systemClock } = options;
  let running: Promise<Credential> | undefined;
  /** The header of the credentials that are kept. */
  let header: string | undefined;
  let expires = Number.POSITIVE_INFINITY;
  const credential = async () => {
    if (running !== undefined && clock.now() < expires) return running;
    expires = Number.POSITIVE_INFINITY;
    const run = runPlugin(options);
    running = run;
    try {
      const found = await run;
      // Given up by `renew` while the program ran: the caller may try them, but they are not kept.
      if (running !== run) return found;
      header = headerOf(found);
      expires = Date.parse(found.expirationTimestamp ?? '') || Number.POSITIVE_INFINITY;
      return found;
    } catch (error) {
      if (running === run) running = undefined;
      throw error;
    }
  };
  const renew = renewal(clock, () => {
    running = undefined;
    header = undefined;
  });
  return {
    renew: (refused) => renew(refused, header),
    async authorization() {
      return headerOf(await credential());
    },
    async certificate(): Promise<ClientCertificate | undefined> {
      const { clientCertificateData: cert, clientKeyData: key } = await credential();
      return cert && key ? { cert, key } : undefined;
    },
  };
}

function headerOf({ token }: Credential): string | undefined {
  return token ? `Bearer ${token}` : undefined;
}

async function runPlugin(options: ExecPluginOptions): Promise<Credential> {
  const { exec, failed } = options;
  const answer = await output(options);
  const parsed = credentialSchema.safeParse(jsonOf(answer), FEW_VALUES);
  if (!parsed.success) throw failed(`the plugin ${exec.command} printed no ExecCredential with a status`);
  const { status } = parsed.data;
  const hasPair = Boolean(status.clientCertificateData) && Boolean(status.clientKeyData);
  if (!status.token && !hasPair)
    throw failed(`the plugin ${exec.command} gave neither a token nor a client certificate with its key`);
  return status;
}

function jsonOf(answer: string): unknown {
  try {
    return JSON.parse(answer) as unknown;
  } catch {
    return undefined;
  }
}

async function output(options: ExecPluginOptions): Promise<string> {
  const { exec, directory, failed } = options;
  const { command, installHint } = exec;
  const program = /[/\\]/.test(command) ? path.resolve(directory, command) : command;
  const child = start(program, options);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const end = Promise.withResolvers<number | null>();
  const fail = (why: string) => {
    child.kill();
    end.reject(new Error(why));
  };
  child.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER) fail(`it printed more than ${MAX_ANSWER} bytes`);
    else chunks.push(chunk);
  });
  child.on('error', end.reject);
  child.on('close', end.resolve);
  const timer = systemClock.after(PLUGIN_MS, () => fail(`it has not ended within ${PLUGIN_MS / 1000} s`));
  try {
    const code = await end.promise;
    if (code !== 0) throw new Error(`it ended with ${code === null ? 'a signal' : `exit code ${code}`}`);
  } catch (error) {
    const hint = isMissing(error) && installHint ? `\n${installHint}` : '';
    throw failed(`the authentication plugin failed: ${program}: ${messageOf(error)}${hint}`, error);
  } finally {
    timer.cancel();
  }
  return Buffer.concat(chunks).toString('utf8');
}

function start(program: string, { exec, cluster, failed }: ExecPluginOptions): ChildProcess {
  const { args, env, interactiveMode, provideClusterInfo, apiVersion } = exec;
  const interactive = process.stdin.isTTY && interactiveMode !== 'Never';
  if (interactiveMode === 'Always' && !interactive)
    throw failed(`the plugin ${program} asks for a terminal (interactiveMode: Always), and there is none`);
  const spec = { interactive, ...(provideClusterInfo === true ? { cluster } : {}) };
  return spawn(program, args ?? [], {
    env: {
      ...process.env,
      ...Object.fromEntries((env ?? []).map(({ name, value }) => [name, value])),
      KUBERNETES_EXEC_INFO: JSON.stringify({ apiVersion, kind: 'ExecCredential', spec }),
    },
    stdio: [interactive ? 'inherit' : 'ignore', 'pipe', 'inherit'],
  });
}

function isMissing(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'ENOENT';
}

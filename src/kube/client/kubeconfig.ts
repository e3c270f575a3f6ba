import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { FEW_VALUES } from '../../base/config.ts';
import { parseYaml } from '../../base/yaml.ts';

const named = z.array(z.looseObject({ name: z.string() })).nullish();
const schema = z.looseObject({
  'current-context': z.string().nullish(),
  clusters: named,
  contexts: named,
  users: named,
});
/** A kubeconfig whose clusters, users and contexts have not been checked yet. */
export type Config = z.output<typeof schema>;

/** Where a kubeconfig is from. */
export interface KubeconfigOrigin {
  readonly source: string;
  /** Folder that relative paths start from; undefined where files make no sense (a Secret). */
  readonly directory: string | undefined;
  readonly context: string | undefined;
}

/**
 * Longest kubeconfig: a Secret holds at most 1 MiB, and people's files with hundreds of clusters are smaller.
 */
const MAX_LENGTH = 4 * 1024 * 1024;

/**
 * Names of the contexts in the kubeconfig that people use.
 * @throws LinkspanError KUBECONFIG_UNREADABLE, KUBECONFIG_INVALID
 */
export function contextNames(): string[] {
  const { text: textOfConfig, source } = personsKubeconfig();
  return (parseText(textOfConfig, { source, directory: undefined, context: undefined }).contexts ?? []).map(
    ({ name }) => name,
  );
}

/** The text of a kubeconfig. */
export interface ConfigText {
  readonly text: string;
  /** Its file, or its files with `:` between. */
  readonly source: string;
  /** Folder that relative paths start from. */
  readonly directory: string;
}

/**
 * The kubeconfig that kubectl takes without `--kubeconfig`: the files of $KUBECONFIG together, else
 * ~/.kube/config.
 * @throws LinkspanError KUBECONFIG_UNREADABLE, KUBECONFIG_INVALID
 */
export function personsKubeconfig(): ConfigText {
  const named = (process.env['KUBECONFIG'] ?? '').split(path.delimiter).filter((file) => file !== '');
  const files = [...new Set(named)];
  const [first = path.join(homedir(), '.kube/config')] = files;
  if (files.length < 2) return readConfigText(first);
  // Missing and empty files do not matter while another file has a kubeconfig.
  const there = files.filter((file) => existsSync(file)).map(readConfigText);
  const filled = there.filter((config) => config.text.trim() !== '');
  const [only] = filled;
  const [empty] = there;
  if (only === undefined && empty !== undefined) return empty;
  if (only === undefined) throw unreadable(files.join(path.delimiter), 'none of these files is there');
  return filled.length === 1 ? only : merged(filled);
}

/** A kubeconfig's text, not looked into yet. @throws LinkspanError KUBECONFIG_UNREADABLE */
export function readConfigText(file: string): ConfigText {
  return { text: readText(file), source: file, directory: path.dirname(path.resolve(file)) };
}

/**
 * Several kubeconfigs as one: the first to name a cluster, a user, a context or the current context has it,
 * and relative paths start from the folder of the file that they are in (kubernetes.io "Organizing Cluster
 * Access Using kubeconfig Files", "Merging kubeconfig files").
 */
function merged(configs: readonly ConfigText[]): ConfigText {
  const parts = configs.map((config) => withAbsolutePaths(config));
  const of = (kind: 'clusters' | 'contexts' | 'users') => {
    const all = parts.flatMap((part) => part[kind] ?? []);
    return all.filter(({ name }, index) => all.findIndex((other) => other.name === name) === index);
  };
  const current = parts.map((part) => part['current-context'] ?? '').find((name) => name !== '');
  const whole = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': current ?? '',
    clusters: of('clusters'),
    contexts: of('contexts'),
    users: of('users'),
  };
  const source = configs.map((config) => config.source).join(path.delimiter);
  return { text: stringify(whole), source, directory: configs[0]?.directory ?? '.' };
}

/** The fields of a cluster or a user that name files. */
const FILE_KEYS: ReadonlySet<string> = new Set([
  'certificate-authority',
  'client-certificate',
  'client-key',
  'tokenFile',
]);

function withAbsolutePaths({ text: textOfConfig, source, directory }: ConfigText): Config {
  const config = parseText(textOfConfig, { source, directory, context: undefined });
  const absolute = (part: unknown) => absolutePaths(part, directory);
  return {
    ...config,
    clusters: config.clusters?.map((entry) => ({ ...entry, cluster: absolute(entry['cluster']) })),
    users: config.users?.map((entry) => ({ ...entry, user: absolute(entry['user']) })),
  };
}

/** A cluster or a user with absolute paths of its files. */
export function absolutePaths(part: unknown, directory: string): unknown {
  if (typeof part !== 'object' || part === null) return part;
  const entries = Object.entries(part).map(([key, value]: [string, unknown]) => {
    if (key === 'exec') return [key, withAbsoluteCommand(value, directory)];
    const isFile = FILE_KEYS.has(key) && typeof value === 'string' && value !== '';
    return [key, isFile ? path.resolve(directory, value) : value];
  });
  return Object.fromEntries(entries) as unknown;
}

/** A plugin whose name has a folder is a file as well; any other is looked up on the PATH. */
function withAbsoluteCommand(exec: unknown, directory: string): unknown {
  const command = (exec as { command?: unknown } | null)?.command;
  if (typeof command !== 'string' || !command.includes(path.sep)) return exec;
  return { ...(exec as object), command: path.resolve(directory, command) };
}

/** @throws LinkspanError KUBECONFIG_UNREADABLE */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw unreadable(file, messageOf(error), error);
  }
}

function unreadable(file: string, why: string, cause?: unknown): LinkspanError {
  return new LinkspanError('KUBECONFIG_UNREADABLE', `cannot read ${file}: ${why}`, {
    cause,
    fields: { file },
  });
}

/** @throws LinkspanError KUBECONFIG_INVALID */
export function parseText(textOfConfig: string, origin: KubeconfigOrigin): Config {
  if (textOfConfig.length > MAX_LENGTH) throw invalid(origin, `has more than ${MAX_LENGTH} characters`);
  if (textOfConfig.trim() === '') throw invalid(origin, 'is empty');
  let value: unknown;
  try {
    value = parseYaml(textOfConfig);
  } catch (error) {
    throw invalid(
      origin,
      `does not parse as YAML: ${(messageOf(error).split('\n')[0] ?? '').replace(/:$/, '')}`,
    );
  }
  return checked(schema, value, '', origin);
}

/**
 * A part of a kubeconfig in its shape.
 * @param where the part of the kubeconfig that `value` is; empty for the whole
 * @throws LinkspanError KUBECONFIG_INVALID
 */
export function checked<S extends z.ZodType>(
  shape: S,
  value: unknown,
  where: string,
  origin: KubeconfigOrigin,
): z.output<S> {
  const parsed = shape.safeParse(value, FEW_VALUES);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const what = `is not a kubeconfig: ${where} ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`;
  throw invalid(origin, what.replace(/ {2,}/g, ' '));
}

export function invalid(origin: KubeconfigOrigin, what: string, cause?: unknown): LinkspanError {
  return new LinkspanError('KUBECONFIG_INVALID', `${origin.source} ${what}`, { cause });
}

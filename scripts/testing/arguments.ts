/** What a person asks `npm test` for: pure, but that names of files are looked up. */
import { globSync, statSync } from 'node:fs';
import path from 'node:path';
import { TestbedError } from '../../test/testbed/errors.ts';

export const SUITES = ['unit', 'wire', 'integration'] as const;
/** A folder of `test/`. */
export type Suite = (typeof SUITES)[number];

/** The words for a part of the tests; `fast` is the unit tests whose files take no second each. */
const WORDS: Readonly<Record<string, readonly Suite[]>> = {
  unit: ['unit', 'wire'],
  wire: ['wire'],
  integration: ['integration'],
  fast: ['unit'],
};

/** Options of mocha that are followed by a value: what stands behind them is no file to run. */
const WITH_VALUE = new Set(
  '--grep -g --fgrep -f --timeout -t --slow -s --retries --require -r --ui -u --reporter-option -O --file --import --seed'.split(
    ' ',
  ),
);

export interface Asked {
  readonly suites: readonly Suite[];
  /** Without the files that are known to take long. */
  readonly fast: boolean;
  /** Paths from the root or absolute; empty: all of the suites. */
  readonly files: readonly string[];
  /** Globs of files that do not run. */
  readonly ignored: readonly string[];
  /** Processes per suite; undefined: as many as the machine is good for. */
  readonly shards: number | undefined;
  readonly requireAll: boolean;
  /** Keep how long each file took for the next runs. */
  readonly record: boolean;
  /** What mocha gets, such as `--grep X`. */
  readonly options: readonly string[];
}

/**
 * Reads the arguments of `npm test`.
 * @throws TestbedError TESTBED_BAD_FLAG for a number of shards that is none
 */
export function readArguments(args: readonly string[], root: string): Asked {
  const [first = '', ...others] = args;
  const word = Object.hasOwn(WORDS, first) ? first : undefined;
  const rest = word === undefined ? args : others;
  const files: string[] = [];
  const ignored: string[] = [];
  const options: string[] = [];
  const flags = new Set<string>();
  let shards: number | undefined;
  for (let at = 0; at < rest.length; at++) {
    const [name, glued] = splitOption(rest[at] ?? '');
    const value = () => glued ?? rest[++at] ?? '';
    if (name === '--require-all' || name === '--record') flags.add(name);
    else if (name === '--shards') shards = numberOfShards(value());
    else if (name === '--ignore' || name === '--exclude') ignored.push(value());
    else if (name === '--spec') files.push(...filesOf(value(), root));
    else if (!name.startsWith('-')) files.push(...filesOf(name, root));
    else options.push(...optionOf(rest[at] ?? '', () => rest[++at]));
  }
  return {
    suites: word === undefined ? SUITES : (WORDS[word] ?? SUITES),
    fast: word === 'fast',
    files: [...new Set(files)],
    ignored,
    shards,
    requireAll: flags.has('--require-all'),
    record: flags.has('--record'),
    options,
  };
}

function splitOption(arg: string): [string, string | undefined] {
  const at = arg.startsWith('--') ? arg.indexOf('=') : -1;
  return at < 0 ? [arg, undefined] : [arg.slice(0, at), arg.slice(at + 1)];
}

function optionOf(arg: string, next: () => string | undefined): string[] {
  if (!WITH_VALUE.has(arg)) return [arg];
  const value = next();
  return value === undefined ? [arg] : [arg, value];
}

function numberOfShards(text: string): number {
  if (/^[1-9]\d?$/.test(text)) return Number(text);
  throw new TestbedError('TESTBED_BAD_FLAG', `--shards is "${text}". Give a number from 1 to 99.`);
}

/** The files that a name, a folder or a glob stands for. */
function filesOf(name: string, root: string): string[] {
  const stat = statSync(path.resolve(root, name), { throwIfNoEntry: false });
  if (stat?.isFile()) return [name];
  const found = globSync(stat?.isDirectory() ? path.join(name, '**/*.test.ts') : name, { cwd: root });
  if (found.length > 0) return found.sort();
  throw new TestbedError('TESTBED_BAD_FLAG', `there is no file "${name}" to test.`);
}

/** The suite that a file belongs to; one that stands elsewhere is taken for a unit test. */
export function suiteOf(file: string): Suite {
  const parts = file.split(path.sep);
  return SUITES.find((suite) => parts[0] === 'test' && parts[1] === suite) ?? 'unit';
}

/** The files to run, by suite, in the order of their names. */
export function chosenFiles(asked: Asked, root: string): Map<Suite, string[]> {
  const all = asked.suites.flatMap((suite) => globSync(`test/${suite}/**/*.test.ts`, { cwd: root }).sort());
  const files = asked.files.length > 0 ? asked.files : all;
  const kept = files
    .map((file) =>
      path.isAbsolute(file) && !path.relative(root, file).startsWith('..') ? path.relative(root, file) : file,
    )
    .filter((file) => !asked.ignored.some((glob) => path.matchesGlob(file, path.normalize(glob))));
  return Map.groupBy(kept, suiteOf);
}

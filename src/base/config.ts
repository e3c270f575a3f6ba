import type { z } from 'zod';
import { LinkspanError } from '../api/errors/linkspan-error.ts';

/**
 * How a schema is asked that sees few values: for each schema zod compiles a function at its first value,
 * which takes longer than to parse dozens of them without.
 */
export const FEW_VALUES = { jitless: true } as const;

/**
 * Parses configuration once, at the edge. Every problem is reported with the name of the setting; an unknown
 * key is an error that names the nearest valid one.
 *
 * @param where what the value came from, for the message: `flags`, a file's path
 * @param nameOf how a setting is called there; default its path in the file
 * @throws LinkspanError CONFIG_INVALID
 */
export function parseConfig<S extends z.ZodType>(
  schema: S,
  value: unknown,
  where: string,
  nameOf: (path: readonly PropertyKey[]) => string = formatPath,
): z.output<S> {
  const result = schema.safeParse(value, FEW_VALUES);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => describeIssue(issue, schema, nameOf));
  throw new LinkspanError('CONFIG_INVALID', `${where}: ${problems.join('; ')}`);
}

/** The first thing that is wrong with a value, and where: `spec.port: too big`. */
export function firstProblem({ issues: [issue] }: z.ZodError): string {
  if (issue === undefined) return 'not valid';
  const at = issue.path.map(String).join('.');
  return at === '' ? issue.message : `${at}: ${issue.message}`;
}

function describeIssue(
  issue: z.core.$ZodIssue,
  schema: z.ZodType,
  nameOf: (path: readonly PropertyKey[]) => string,
): string {
  const at = issue.path.length === 0 ? '' : `${nameOf(issue.path)}: `;
  if (issue.code !== 'unrecognized_keys') return `${at}${issue.message}`;
  const known = keysAt(schema, issue.path);
  const parts = issue.keys.map((key) => {
    const near = nearest(key, known);
    return near === undefined
      ? `unknown setting "${key}"`
      : `unknown setting "${key}" (did you mean "${near}"?)`;
  });
  return at + parts.join(', ');
}

/**
 * The same for the flags of a verb: a setting is named as the flag that was typed (`clusterName` is
 * `--cluster-name`).
 * @throws LinkspanError CONFIG_INVALID
 */
export function parseFlags<S extends z.ZodType>(schema: S, flags: unknown, verb: string): z.output<S> {
  const flagOf = (path: readonly PropertyKey[]) =>
    `--${String(path[0]).replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  return parseConfig(schema, flags, verb, flagOf);
}

function formatPath(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : String(part)))
    .join('.')
    .replaceAll('.[', '[');
}

/** The parts of zod's schema objects that lead to a nested object's keys. */
interface SchemaNode {
  shape?: Record<string, SchemaNode>;
  element?: SchemaNode;
  unwrap?: () => SchemaNode;
  /** The schema whose output a `transform` takes. */
  in?: SchemaNode;
}

function keysAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  let at = unwrapped(schema as SchemaNode);
  for (const part of path) at = unwrapped(typeof part === 'number' ? at?.element : at?.shape?.[String(part)]);
  return Object.keys(at?.shape ?? {});
}

/** The object or array behind `optional`, `default`, `transform` and the like. */
function unwrapped(schema: SchemaNode | undefined): SchemaNode | undefined {
  let at = schema;
  while (at !== undefined && at.shape === undefined && at.element === undefined) {
    const inner: SchemaNode | undefined = at.unwrap?.() ?? at.in;
    if (inner === undefined) break;
    at = inner;
  }
  return at;
}

/** Longest word, in characters, that is compared with known names: nothing longer is a misspelt setting. */
const MAX_WORD = 100;

/** The candidate with the smallest edit distance to `word`, if it is near enough to be a typing error. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  if (word.length > MAX_WORD) return undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    // The edit distance is at least the difference of the lengths; working it out takes time for long words.
    if (Math.abs(word.length - candidate.length) >= bestDistance) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}

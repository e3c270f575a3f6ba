import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { nearest } from '../base/config.ts';
import { LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';

/** The `helm` program, 3.14 or later: the chart is the only source of what is installed. */
export interface Helm {
  /**
   * Runs it and returns what it printed.
   * @param input its standard input; undefined: this process' own, for `-f -`
   * @throws LinkspanError HELM_MISSING, VALUES_INVALID, KUBERNETES_TOO_OLD, CHART_FAILED
   */
  run(args: readonly string[], input?: string): Promise<string>;
}

/** @param program `--helm`, `$LINKSPAN_HELM` or `helm` */
export function helmProgram(program: string): Helm {
  return { run: (args, input) => runHelm(program, args, input) };
}

async function runHelm(program: string, args: readonly string[], input: string | undefined): Promise<string> {
  const child =
    input === undefined
      ? spawn(program, args, { stdio: ['inherit', 'pipe', 'pipe'] })
      : spawn(program, args, { stdio: 'pipe' });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const what = cause.code === 'ENOENT' ? 'there is no such program' : messageOf(cause);
      reject(new LinkspanError('HELM_MISSING', `${program}: ${what}`, { cause }));
    });
    child.once('close', resolve);
  });
  // EPIPE when helm exits before it has read everything; its stderr has the reason.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (code === 0) return output;
  throw helmError(errors);
}

/** helm's error output as a coded error: VALUES_INVALID for wrong values, CHART_FAILED for all else. Pure. */
export function helmError(stderr: string): LinkspanError {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('Use --debug'));
  const said = lines.join(' ').replace(/^Error: /, '');
  if (/specifications of the schema/.test(said))
    return new LinkspanError('VALUES_INVALID', schemaProblems(lines).join('; '));
  const [, failed] = said.split('execution error at (', 2);
  const required = failed?.split('): ').slice(1).join('): ') || undefined;
  if (required !== undefined) return new LinkspanError('VALUES_INVALID', required);
  if (/failed parsing --set|failed to parse|no such file|cannot unmarshal|error converting YAML/.test(said))
    return new LinkspanError('VALUES_INVALID', said);
  if (/requires kubeVersion/.test(said)) return new LinkspanError('KUBERNETES_TOO_OLD', said);
  return new LinkspanError('CHART_FAILED', `helm: ${said}`);
}

/**
 * helm's schema errors with dotted keys instead of JSON pointers:
 * `- at '/gateway/port': got string, want integer` becomes `gateway.port: got string, want integer`. Older
 * versions of helm write keys themselves.
 */
function schemaProblems(lines: readonly string[]): string[] {
  return lines
    .filter((line) => line.startsWith('- ') && !line.endsWith(': validation failed'))
    .flatMap((line) => {
      const [, pointer, problem = ''] = /^- at '([^']*)': (.*)$/.exec(line) ?? [];
      if (pointer === undefined) return [line.slice(2)];
      const key = pointer.split('/').slice(1).join('.');
      const unknown = /^additional propert(?:y|ies) (.*) not allowed$/.exec(problem)?.[1];
      if (unknown === undefined) return [key === '' ? problem : `${key}: ${problem}`];
      const names = [...unknown.matchAll(/'([^']*)'/g)].map(([, name = '']) => name);
      return names.map((name) => `${key === '' ? name : `${key}.${name}`}${UNKNOWN}`);
    });
}

/** Error text behind the key of a value that the chart does not have. */
const UNKNOWN = ': the chart has no such value';

/**
 * Adds the nearest known key to errors about unknown values.
 * @param keys of the chart's default values, dotted
 */
export function withNearestKeys(error: unknown, keys: readonly string[]): unknown {
  if (!(error instanceof LinkspanError) || error.code !== 'VALUES_INVALID') return error;
  const message = error.message
    .split(UNKNOWN)
    .map((text, index, all) => {
      if (index === all.length - 1) return text;
      const near = nearest(text.split(/\s/).at(-1) ?? '', keys);
      return `${text}${UNKNOWN}${near === undefined ? '' : ` (did you mean ${near}?)`}`;
    })
    .join('');
  return new LinkspanError('VALUES_INVALID', message, { cause: error });
}

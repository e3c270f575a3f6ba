import { TestbedError } from '../errors.ts';

/**
 * Takes `--from build|download` out of a command's arguments and puts it into `LINKSPAN_TESTBED_FROM`, where
 * everything that this process starts sees it too. Returns the other arguments.
 * @throws TestbedError TESTBED_BAD_FLAG
 */
export function takeFromFlag(args: readonly string[], env: NodeJS.ProcessEnv = process.env): string[] {
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? '';
    if (arg !== '--from' && !arg.startsWith('--from=')) rest.push(arg);
    else env['LINKSPAN_TESTBED_FROM'] = checked(arg === '--from' ? args[++i] : arg.slice('--from='.length));
  }
  if (env['LINKSPAN_TESTBED_FROM'] !== undefined) checked(env['LINKSPAN_TESTBED_FROM']);
  return rest;
}

/**
 * The same for a command that takes nothing beside these flags, so that a slip of the pen does not start
 * minutes of work.
 * @returns those that were given
 * @throws TestbedError TESTBED_BAD_FLAG
 */
export function takeFlags<F extends string>(
  args: readonly string[],
  known: readonly F[],
  env: NodeJS.ProcessEnv = process.env,
): ReadonlySet<F> {
  const given = new Set<F>();
  for (const arg of takeFromFlag(args, env)) {
    const flag = known.find((one) => one === arg);
    if (flag === undefined)
      throw new TestbedError(
        'TESTBED_BAD_FLAG',
        `there is no flag "${arg}". Known: ${[...known, '--from build|download|auto'].join(', ')}.`,
      );
    given.add(flag);
  }
  return given;
}

function checked(value: string | undefined): string {
  if (value === 'build' || value === 'download' || value === 'auto') return value;
  throw new TestbedError(
    'TESTBED_BAD_FLAG',
    `--from (or LINKSPAN_TESTBED_FROM) is "${value ?? ''}". Give build, download or auto.`,
  );
}

/**
 * The programs of the testbed, by name, as `prepare` left them: nothing is fetched or built here, because
 * tests and demo ask from inside a network namespace that no server can be reached from.
 */
import { TestbedError } from './errors.ts';
import { find, findGo } from './binaries/places.ts';
import type { BinaryName } from './binaries/programs.ts';

/**
 * Paths of the named programs.
 * @throws TestbedError TESTBED_NOT_PREPARED, with the command that gets what is missing
 */
export function binaries<N extends BinaryName>(
  names: readonly N[],
  env: NodeJS.ProcessEnv = process.env,
): Record<N, string> {
  const found = names.map((name) => [name, find(name, env)?.file] as const);
  const missing = found.filter(([, file]) => file === undefined).map(([name]) => name);
  if (missing.length > 0) throw notPrepared(missing, env);
  return Object.fromEntries(found) as Record<N, string>;
}

function notPrepared(missing: readonly BinaryName[], env: NodeJS.ProcessEnv): TestbedError {
  const assets = env['KUBEBUILDER_ASSETS'];
  const looked = assets === undefined ? '$KUBEBUILDER_ASSETS (not set)' : `$KUBEBUILDER_ASSETS (${assets})`;
  const go = findGo(env) === undefined ? ' (it needs Go 1.24 or newer, or a way to download)' : '';
  return new TestbedError(
    'TESTBED_NOT_PREPARED',
    `${missing.join(', ')}: neither in ${looked} nor in the cache, and nothing is fetched or built in here. ` +
      `Run \`npm run testbed:prepare -- ${missing.join(' ')}\`${go} and then this again. A test that needs a program ` +
      'for the first time adds it to NEEDS in test/testbed/binaries/programs.ts.',
  );
}

import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

const program = path.join(import.meta.dirname, '../../bin/linkspan.js');

/**
 * Runs the CLI in a process of its own, which must succeed, with a hook that writes down what is loaded.
 * @param dir an empty folder for the hook and its list
 * @returns the URLs of all modules, and `NativeModule …` for what is Node's own, one a line
 */
export async function loadedModules(
  dir: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const list = path.join(dir, 'loaded');
  const hook = path.join(dir, 'hook.mjs');
  await writeFile(list, '');
  await writeFile(
    hook,
    `import { registerHooks } from 'node:module';
     import { appendFileSync } from 'node:fs';
     const list = ${JSON.stringify(list)};
     registerHooks({
       load(url, context, next) {
         appendFileSync(list, url + '\\n');
         return next(url, context);
       },
     });
     process.on('exit', () => appendFileSync(list, process.moduleLoadList.join('\\n') + '\\n'));`,
  );
  const options = { env: { ...process.env, ...env, NODE_OPTIONS: `--import ${hook}` } };
  const failure = await new Promise<string>((resolve) => {
    execFile(process.execPath, [program, ...args], options, (error, _, stderr) =>
      resolve(error === null ? '' : `${error.message}\n${stderr}`),
    );
  });
  expect(failure).to.equal('');
  return readFile(list, 'utf8');
}

/** `npm run testbed:prepare [-- --from build|download] [NAME…]`: see test/testbed/binaries/prepare.ts. */
import { binaries } from '../test/testbed/binaries.ts';
import { takeFromFlag } from '../test/testbed/binaries/flags.ts';
import { prepare, prepareOptional } from '../test/testbed/binaries/prepare.ts';
import { type BinaryName, NEEDS, OPTIONAL, programs } from '../test/testbed/binaries/programs.ts';
import { orExplain, TestbedError } from '../test/testbed/errors.ts';

await orExplain(async () => {
  const names = takeFromFlag(process.argv.slice(2)).map(known);
  await prepare(names.length > 0 ? names : NEEDS.tests);
  const leftOut = names.length > 0 ? [] : await prepareOptional(OPTIONAL);
  const optional = OPTIONAL.filter((need) => !leftOut.some((out) => out.need === need));
  const all = names.length > 0 ? names : [...NEEDS.tests, ...optional.flatMap((need) => need.programs)];
  for (const [name, file] of Object.entries(binaries(all))) process.stdout.write(`${name}\t${file}\n`);
  for (const { need, reason } of leftOut) process.stdout.write(`not here: ${need.title}: ${reason}\n`);
});

function known(name: string): BinaryName {
  if (Object.hasOwn(programs, name)) return name as BinaryName;
  throw new TestbedError(
    'TESTBED_BAD_FLAG',
    `there is no program "${name}". There are ${Object.keys(programs).join(', ')}.`,
  );
}

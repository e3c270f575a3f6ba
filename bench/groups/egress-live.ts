/**
 * Loaded first in an egress on Node: after SIGUSR2 it collects its garbage and says how much heap is left.
 * Nothing is compiled to machine code, and no bytecode thrown away: both would count, more or less by chance.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const FLAGS = ['--no-opt', '--no-maglev', '--no-sparkplug', '--no-flush-bytecode', '--expose-gc'];
for (const flag of FLAGS) setFlagsFromString(flag);

process.on('SIGUSR2', () => {
  const collect = runInNewContext('gc') as () => void;
  // Several times: what a finalizer of the first let go of, and what was kept for a second use.
  for (let nth = 0; nth < 4; nth++) collect();
  process.stdout.write(`{"liveBytes":${process.memoryUsage().heapUsed}}\n`);
});

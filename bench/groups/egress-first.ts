/**
 * Loaded first in an egress on Node: tunes V8 as the product does (`EgressProgram` of the tests does not),
 * and after SIGUSR2 collects its garbage and says how much heap is left.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { tuneForTraffic } from '../../src/processes/v8-tuning.ts';

tuneForTraffic();

process.on('SIGUSR2', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // Twice: what a finalizer of the first let go of.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  process.stdout.write(`{"liveBytes":${heapUsed + external}}\n`);
});

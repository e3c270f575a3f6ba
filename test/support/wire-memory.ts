import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/**
 * Bytes that this process holds for JavaScript: its heap and the buffers beside it, after what nobody needs
 * has been collected.
 */
export function heldBytes(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The big variants of tests that are too slow for each run: `LINKSPAN_WIRE_FULL=1`. */
export const FULL = process.env['LINKSPAN_WIRE_FULL'] === '1';

import os from 'node:os';

/**
 * Bytes that this process may take before the kernel ends it: the limit of its cgroup (`memory.max`, or
 * `memory.limit_in_bytes` of version 1, as libuv reads them), else the machine's memory.
 * @param constrained what the runtime says; 0, or a number beyond the machine, where there is no limit
 */
export function memoryLimit(constrained = process.constrainedMemory(), total = os.totalmem()): number {
  return constrained > 0 && constrained < total ? constrained : total;
}

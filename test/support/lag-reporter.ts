/**
 * Loaded before a program: at SIGUSR2 it writes a line of JSON to standard output, `{"lagMs", "heapMiB",
 * "cpuMs"}`: the longest work without a break since the line before, as CPU of its thread, what is used of
 * the heap, and all CPU of the process.
 */

/** A line. */
export interface LagLine {
  readonly lagMs: number;
  readonly heapMiB: number;
  readonly cpuMs: number;
}

const LOOK_MS = 2;
let longest = 0;
let last = threadMs();
setInterval(() => {
  const now = threadMs();
  longest = Math.max(longest, now - last);
  last = now;
}, LOOK_MS).unref();

process.on('SIGUSR2', () => {
  const now = threadMs();
  const { user, system } = process.cpuUsage();
  const line: LagLine = {
    lagMs: Math.round(Math.max(longest, now - last)),
    heapMiB: Math.round(process.memoryUsage().heapUsed / 1024 ** 2),
    cpuMs: Math.round((user + system) / 1000),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  longest = 0;
  last = threadMs();
});

function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

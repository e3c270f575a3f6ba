import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts the CPU time of processes in these. */
const TICKS_PER_SECOND = 100;

/** User and system time that processes have used so far. */
export function cpuSeconds(...pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before it may have blanks and brackets in it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }, 0);
}

/** As `cpuSeconds`, to the nanosecond, of one process; threads that have ended meanwhile do not count. */
export function threadSeconds(pid: number): number {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).reduce((sum, task) => {
    const [running = ''] = readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ');
    return sum + Number(running) / 1e9;
  }, 0);
}

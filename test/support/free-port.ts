import { once } from 'node:events';
import net from 'node:net';

/**
 * Ports for programs that are told theirs: below those that systems give to connections (Linux 32768, others
 * 49152), so that no client sits on one when the program comes to it, and apart from those of tests that run
 * in other processes at the same time.
 */
const FIRST = 10_000;
const EACH = 240;
const PROCESSES = 94;
/** The one of them that `fetch` asks nobody at (WHATWG Fetch, port blocking). */
const BLOCKED = 10_080;

let given = 0;

/** The ports of a process: those of the next 93 are others. */
export function portsOf(pid: number): { readonly first: number; readonly last: number } {
  const first = FIRST + (pid % PROCESSES) * EACH;
  return { first, last: first + EACH - 1 };
}

/**
 * A port that nobody listens on, and that nobody else is given.
 * @param pid of the process; default: this one
 */
export async function freePort(pid = process.pid): Promise<number> {
  const { first, last } = portsOf(pid);
  for (let tries = 0; tries < EACH; tries++) {
    const port = first + (given++ % EACH);
    if (port !== BLOCKED && (await isFree(port))) return port;
  }
  throw new Error(`all ports from ${first} to ${last} are taken`);
}

/** The same for several, each another one. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

/** Whether it can be listened on, at whatever address. */
async function isFree(port: number): Promise<boolean> {
  const server = net.createServer().listen(port, '0.0.0.0');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  await once(server.close(), 'close');
  return true;
}

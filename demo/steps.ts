import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';

const ROOT = path.dirname(import.meta.dirname);
const started = performance.now();

/** Prints a step with the seconds since the start. */
export function say(text: string): void {
  process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${text}\n`);
}

/** Prints something below a step, indented. */
export function show(text: string): void {
  process.stdout.write(`${text.trimEnd().replaceAll(/^/gm, '           ')}\n`);
}

/** Starts a Node program of this checkout, its output in a log file. */
export function startProgram(file: string, args: readonly string[], log: string): ChildProcess {
  const child = spawn(process.execPath, [path.join(ROOT, file), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out = createWriteStream(log);
  child.stdout.pipe(out);
  child.stderr.pipe(out);
  return child;
}

/** Ends processes that this demo started, and waits for them. */
export async function endAll(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) {
            resolve();
            return;
          }
          const kill = setTimeout(() => child.kill('SIGKILL'), 5000);
          child.once('exit', () => {
            clearTimeout(kill);
            resolve();
          });
          child.kill('SIGTERM');
        }),
    ),
  );
}

/**
 * One plain HTTP request, as a client that knows nothing of any of this would make it.
 * @param localAddress that it comes from; default: any
 */
export function get(
  url: string,
  host: string,
  localAddress?: string,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      url,
      { headers: { host }, agent: false, timeout: 3000, localAddress },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (text: string) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        response.on('error', reject);
      },
    );
    call.on('timeout', () => call.destroy(new Error('no answer within 3 s')));
    call.on('error', reject);
    call.end();
  });
}

/** Tries until `probe` gives something; the last failure is thrown after `timeoutMs`. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  timeoutMs = 20_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < end) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`gave up waiting for ${what}`, { cause: last });
}

/**
 * Gets another terminal into the network namespace of a process. Everybody is root inside a user namespace of
 * their own: that of `unshare -rn` is known by its map of a single user.
 */
export function enterCommand(pid: number, uidMap: string): string {
  const ownUsers = uidMap.trim().split(/\s+/)[2] === '1';
  return `nsenter -t ${pid} -n${ownUsers ? ' -U --preserve-credentials' : ''}`;
}

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { promisify } from 'node:util';
import { machineProgram } from '../testbed/binaries/machine.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';

/** nghttp2's server, without TLS. */
export interface Nghttpd {
  readonly port: number;
  close(): Promise<void>;
}

/** @param streams that it takes on a connection @param dir whose files it serves */
export async function nghttpd(streams: number, dir: string): Promise<Nghttpd> {
  const port = await freePort();
  const args = ['--no-tls', '-a', '127.0.0.1', '-m', String(streams), '-d', dir, String(port)];
  const server = spawn(machineProgram('nghttpd'), args, { stdio: 'ignore' });
  await eventually('nghttpd to listen', () => listens(port));
  return {
    port,
    close: async () => {
      server.kill();
      await once(server, 'exit');
    },
  };
}

/** Runs nghttp2's load generator to its end. @param cwd where files of its flags are @returns its report */
export async function h2load(args: readonly string[], cwd?: string): Promise<string> {
  return (await promisify(execFile)(machineProgram('h2load'), args, { cwd })).stdout;
}

async function listens(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } finally {
    socket.destroy();
  }
}

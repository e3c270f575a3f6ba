import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { median } from './bench-py.ts';
import { cpuSeconds } from '../cpu-seconds.ts';
import { IDENTITY, type Stage } from './stage.ts';

const MESSAGE = 16 * 1024;
const CONNECTIONS = 8;
/** The origin's port for raw bytes, and what makes it echo (`origin.c`). */
const ORIGIN = 9002;

/**
 * CPU microseconds that a gateway spends on 16 kB there and back, over eight raw connections that each wait
 * for their echo.
 */
export async function opaqueEcho(
  stage: Stage,
  pid: number,
  { port, rounds, seconds }: { readonly port: number; readonly rounds: number; readonly seconds: number },
): Promise<number | undefined> {
  const echo = net.createServer((socket) => socket.pipe(socket));
  echo.listen(ORIGIN, '127.0.0.1');
  await once(echo, 'listening');
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => connect(stage, port)));
  try {
    const costs: number[] = [];
    // The first warms up.
    for (let round = -1; round < rounds; round++) {
      const before = cpuSeconds(pid);
      const end = performance.now() + seconds * 1000;
      const counts = await Promise.all(clients.map((client) => echoes(client, end)));
      const cost = cpuSeconds(pid) - before;
      if (round >= 0) costs.push((cost * 1e6) / counts.reduce((sum, count) => sum + count, 0));
    }
    return median(costs);
  } finally {
    for (const client of clients) client.destroy();
    echo.close();
  }
}

async function connect(stage: Stage, port: number): Promise<tls.TLSSocket> {
  const read = (name: string) => readFileSync(path.join(stage.work, 'certs', name));
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    servername: IDENTITY('server'),
    ALPNProtocols: ['transport.l5d.io/v1'],
    cert: read('client.crt'),
    key: read('client.key'),
    ca: read('ca.crt'),
  });
  await once(socket, 'secureConnect');
  socket.setNoDelay(true);
  socket.write(
    encodeTransportHeader({ name: 'opaque.bench.svc.cluster.local', port: 80, protocol: 'opaque' }),
  );
  return socket;
}

/** @returns how many messages came back until then */
function echoes(socket: tls.TLSSocket, end: number): Promise<number> {
  const message = Buffer.alloc(MESSAGE, 'x');
  return new Promise((resolve, reject) => {
    let count = 0;
    let left = MESSAGE;
    const onData = (chunk: Buffer) => {
      left -= chunk.length;
      if (left > 0) return;
      left = MESSAGE;
      count++;
      if (performance.now() < end) {
        socket.write(message);
        return;
      }
      socket.off('data', onData).off('error', reject);
      resolve(count);
    };
    socket.on('data', onData).on('error', reject);
    socket.write(message);
  });
}

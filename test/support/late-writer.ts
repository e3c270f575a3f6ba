/**
 * `late-writer.ts OTHER PORT DIR`: uploads to PORT with more than its peer takes, and is busy with something
 * else (what comes from OTHER) from when the peer can take more until its peer has answered and reset. Prints
 * what it has read. Files in DIR say how far everybody is: `more` can be taken, this is `late`, `answered`.
 */
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { outliveWriteErrors } from '../../src/proxy/io/write-errors.ts';

const [otherPort = '', port = '', dir = ''] = process.argv.slice(2);
/** More than the buffers of both kernels hold. */
const UPLOAD = 32 * 1024 * 1024;

/** Nothing else of this process goes on meanwhile: what the event loop has been told before is old then. */
function busyUntil(file: string): void {
  while (!existsSync(path.join(dir, file)));
}

const other = net.connect(Number(otherPort), '127.0.0.1');
const socket = net.connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true });
await Promise.all([once(other, 'connect'), once(socket, 'connect')]);
const heard: string[] = [];
outliveWriteErrors(socket, () => heard.push('write failed'));
socket.on('data', (chunk: Buffer) => heard.push(chunk.toString('latin1').trim()));
socket.on('error', () => undefined);
const over = Promise.race([once(socket, 'end'), once(socket, 'close')]);
other.once('data', () => {
  writeFileSync(path.join(dir, 'late'), '');
  busyUntil('answered');
});
socket.write(Buffer.alloc(UPLOAD));
busyUntil('more');
await over;
process.stdout.write(`${JSON.stringify(heard)}\n`);
process.exit(0);

import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '../support/eventually.ts';
import { root, RUNTIMES } from '../support/runtime-process.ts';

/**
 * A process that is told "you can write on" and "there is something of somebody else" in one go, and takes
 * some time for the latter, writes to a peer that has answered and reset the connection meanwhile. Bun closes
 * the socket as it says so, and did that with the answer unread: one of 5,000 uploads in
 * `early-answers.test.ts`, and each one here.
 */
for (const runtime of RUNTIMES)
  describe(`A write that is late for a reset, on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-late-'));
    const say = (file: string) => writeFileSync(path.join(dir, file), '');
    const isSaid = (file: string) => existsSync(path.join(dir, file));
    const servers: net.Server[] = [];

    after(() => {
      for (const server of servers) server.close();
      rmSync(dir, { recursive: true });
    });

    async function serve(serves: (socket: net.Socket) => void): Promise<string> {
      const server = net.createServer((socket) => serves(socket.on('error', () => undefined)));
      servers.push(server.listen(0, '127.0.0.1'));
      await once(server, 'listening');
      return String((server.address() as net.AddressInfo).port);
    }

    async function answer(socket: net.Socket, upload: { read: number; seen: number }): Promise<void> {
      const readAll = () => {
        const { seen } = upload;
        upload.seen = upload.read;
        return seen === upload.read;
      };
      await eventually('all is read that the sender could send at once', readAll, { everyMs: 100 });
      say('more');
      await eventually('the sender is late', () => isSaid('late'));
      socket.write('the answer\n', () => {
        socket.resetAndDestroy();
        say('answered');
      });
    }

    it('leaves the answer before it to be read', async () => {
      let other: net.Socket | undefined;
      const otherPort = await serve((socket) => (other = socket));
      let answered: Promise<void> | undefined;
      const port = await serve((socket) => {
        const upload = { read: 0, seen: 0 };
        socket.on('data', (chunk: Buffer) => {
          if (upload.read === 0) other?.write('busy');
          upload.read += chunk.length;
          answered ??= answer(socket, upload);
        });
      });
      const script = path.join(import.meta.dirname, '../support/late-writer.ts');
      const child = spawn(path.join(root, 'node_modules/.bin', runtime), [script, otherPort, port, dir], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let said = '';
      child.stdout.on('data', (text: Buffer) => (said += text.toString()));
      await once(child, 'close');
      await answered;
      expect(JSON.parse(said)).to.deep.equal(['write failed', 'the answer']);
    });
  });

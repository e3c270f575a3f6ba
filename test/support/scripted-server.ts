import net from 'node:net';

/** What a scripted server does with one request: it gets the request's head and the raw socket. */
export type Script = (head: string, socket: net.Socket) => void;

/** A server whose every byte the test decides; the last script serves all further requests. */
export async function scriptedServer(
  ...scripts: Script[]
): Promise<{ url: string; heads: string[]; close(): Promise<void> }> {
  const heads: string[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    let held = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      held += chunk.toString('latin1');
      const end = held.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = held.slice(0, end);
      held = '';
      const script = scripts[Math.min(heads.length, scripts.length - 1)];
      heads.push(head);
      script?.(head, socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    heads,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** A whole JSON answer. */
export function answer(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Script {
  return (_, socket) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const extra = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(
      `HTTP/1.1 ${status} X\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n${extra.join('')}\r\n${text}`,
    );
  };
}

/** A watch: the pieces are written as chunks; then the stream ends properly, is cut, or stays open. */
export function stream(pieces: readonly string[], then: 'end' | 'cut' | 'open'): Script {
  return (_, socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n');
    for (const piece of pieces) socket.write(`${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`);
    if (then === 'end') socket.write('0\r\n\r\n');
    if (then === 'cut') setImmediate(() => socket.destroy());
  };
}

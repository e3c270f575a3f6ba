import type { Socket } from 'node:net';

/**
 * What becomes of a raw connection: whether it gives back what is said on it, or is closed. One that is reset
 * as soon as it is accepted may be reset for the client before it has seen itself connected
 * (`connect ECONNRESET`): that is closed, too. Any other failure to connect is thrown.
 * @param connecting the connection, which is the helper's from now on
 */
export async function echoOf(connecting: Promise<Socket>): Promise<'echo' | 'closed'> {
  let socket: Socket;
  try {
    socket = await connecting;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') return 'closed';
    throw error;
  }
  const outcome = new Promise<'echo' | 'closed'>((resolve) => {
    socket.once('data', () => resolve('echo'));
    for (const end of ['end', 'close']) socket.once(end, () => resolve('closed'));
  });
  socket.write('x');
  return outcome.finally(() => socket.destroy());
}

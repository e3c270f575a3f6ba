import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';

/**
 * The line, with its end, that a `linkspan dashboard` prints once it serves: its address.
 * @throws Error when it ends before, with what it has said
 */
export async function addressLine(
  child: ChildProcess & { readonly stdout: Readable; readonly stderr: Readable },
): Promise<string> {
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const onExit = (code: number | null) => reject(new Error(`linkspan dashboard ended with ${code}: ${said}`));
  child.once('exit', onExit);
  try {
    const [line] = (await Promise.race([once(child.stdout, 'data'), ended])) as [Buffer];
    return line.toString();
  } finally {
    child.off('exit', onExit);
  }
}

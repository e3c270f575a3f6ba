import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';

/** Longest password, bytes; a longer file is not one. */
const MAX_PASSWORD = 1024;

/** A terminal's input, as `process.stdin` is. */
export interface Keyboard extends Readable {
  readonly isTTY?: boolean;
  setRawMode(on: boolean): unknown;
}

/**
 * Where a password may come from. Not from an argument, which every user of the machine could read with `ps`.
 */
export interface PasswordSources {
  /** `-` is stdin. */
  readonly file: string | undefined;
  readonly env: string | undefined;
  readonly stdin: Keyboard;
  /** Where the question goes. */
  readonly stderr: NodeJS.WritableStream;
}

/**
 * The password in the file, else in the environment; undefined when there is neither.
 * @throws LinkspanError CONFIG_INVALID for a file that cannot be read or is no text, or too long
 */
export async function givenPassword({ file, env, stdin }: PasswordSources): Promise<string | undefined> {
  if (file === undefined) return env;
  const bytes = await readAtMost(file === '-' ? stdin : createReadStream(file), MAX_PASSWORD).catch(
    (cause) => {
      throw new LinkspanError('CONFIG_INVALID', `--password-file: ${(cause as Error).message}`, { cause });
    },
  );
  if (bytes === undefined) {
    throw new LinkspanError('CONFIG_INVALID', `--password-file: ${file}: longer than ${MAX_PASSWORD} bytes`);
  }
  try {
    // A final line break, from an editor or `echo`, is not part of the password.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes).replace(/\r?\n$/, '');
  } catch (cause) {
    throw new LinkspanError('CONFIG_INVALID', `--password-file: ${file}: not UTF-8`, { cause });
  }
}

/** All bytes of a stream; undefined when there are more than `limit`, and then it is read no further. */
export async function readAtMost(stream: Readable, limit: number): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of stream as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > limit) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/**
 * Asks at a terminal, without showing what is typed. Undefined when there is no terminal, or when the
 * question is given up (Ctrl-C, Ctrl-D).
 */
export async function askPassword(
  { stdin, stderr }: Pick<PasswordSources, 'stdin' | 'stderr'>,
  what: string,
): Promise<string | undefined> {
  if (stdin.isTTY !== true) return undefined;
  // Raw mode (no echo) before the prompt, so that no typed character is shown.
  stdin.setRawMode(true);
  stderr.write(`Password of ${what}: `);
  stdin.setEncoding('utf8');
  try {
    return await typedLine(stdin);
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

function typedLine(stdin: Keyboard): Promise<string | undefined> {
  const typed: string[] = [];
  return new Promise((resolve) => {
    const done = (answer: string | undefined) => {
      stdin.off('data', onData);
      stdin.off('end', onEnd);
      resolve(answer);
    };
    const onEnd = () => done(undefined);
    const onData = (text: string) => {
      for (const key of text) {
        if (key === '\r' || key === '\n') return done(typed.join(''));
        if (key === '\u0003' || key === '\u0004') return done(undefined);
        if (key === '\u007f' || key === '\b') typed.pop();
        else typed.push(key);
      }
    };
    stdin.on('data', onData);
    stdin.on('end', onEnd);
  });
}

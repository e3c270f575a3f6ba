import { largest } from '../../base/extremes.ts';
import { StringDecoder } from 'node:string_decoder';
import { tooLarge } from './answer-limits.ts';

/** Longest line, characters. */
const MAX_LINE = 64 * 1024;

/**
 * The lines of a body that goes on, without their ends; blank ones are left out, and so is what stands behind
 * the last end of a line.
 * @throws LinkspanError KUBE_ANSWER_TOO_LARGE for a line longer than `MAX_LINE`
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + decoder.write(chunk as Buffer)).split('\n');
    rest = parts.pop() ?? '';
    const longest = largest(
      parts.map(({ length }) => length),
      rest.length,
    );
    if (longest > MAX_LINE)
      throw tooLarge(what, 'object', 'a line is too long', { used: longest, of: MAX_LINE });
    for (const line of parts) if (line !== '') yield line;
  }
}

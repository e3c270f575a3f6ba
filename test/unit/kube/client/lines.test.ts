import { expect } from 'chai';
import { linesOf } from '../../../../src/kube/client/lines.ts';

async function* chunks(...texts: readonly (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text as string));
}

async function all(lines: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

describe('Lines of an answer that goes on', () => {
  it('are the same however the bytes come, and half a line is none', async () => {
    const euro = Buffer.from('€\n');
    const lines = await all(
      linesOf(chunks('a\n\nb', 'c\n', euro.subarray(0, 1), euro.subarray(1), 'half'), 'a page'),
    );
    expect(lines).to.deep.equal(['a', 'bc', '€']);
  });

  it('are no longer than can be held', async () => {
    const endless = linesOf(chunks('x'.repeat(40_000), 'x'.repeat(40_000)), 'a page');
    const error = await all(endless).then(
      () => undefined,
      (failure: unknown) => failure as { code: string },
    );
    expect(error?.code).to.equal('KUBE_ANSWER_TOO_LARGE');
  });
});

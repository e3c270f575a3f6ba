import { expect } from 'chai';
import { Screen } from '../../../../src/cli/traffic/screen.ts';

/** A terminal of this size, which keeps what is written. */
function terminal(columns: number, rows: number) {
  const written: string[] = [];
  const write = (text: string, done?: () => void) => {
    written.push(text);
    done?.();
    return true;
  };
  const stream = { isTTY: true, columns, rows, write } as unknown as NodeJS.WriteStream;
  /** The lines of the last picture. */
  const lines = () =>
    (written.at(-1) ?? '')
      .replaceAll(String.fromCodePoint(27), '')
      .replaceAll(/\[[HJK]/g, '')
      .split('\n');
  return { stream, lines };
}

describe('a screen that shows one reading after the other', () => {
  const note = 'no answer from east/egress-1: no answer in time';

  it('names who did not answer, however long the table is', async () => {
    const { stream, lines } = terminal(80, 10);
    const screen = new Screen(stream, 1000);
    await screen.show('row\n'.repeat(50), [note]);
    expect(lines()).to.deep.equal([...Array.from({ length: 7 }, () => 'row'), '', `linkspan: ${note}`]);
    await screen.show('row\n', []);
    expect(lines()).to.deep.equal(['row']);
    screen.close();
  });

  it('never has more lines or columns than the terminal', async () => {
    for (const [columns, rows] of [
      [10, 3],
      [1, 1],
    ] as const) {
      const { stream, lines } = terminal(columns, rows);
      const screen = new Screen(stream, 1000);
      await screen.show('a table that is wide\n'.repeat(9), [note, note, note]);
      expect(lines().length).to.be.at.most(Math.max(1, rows - 1));
      for (const line of lines()) expect(line.length).to.be.at.most(columns);
      screen.close();
    }
  });
});

import { expect } from 'chai';
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { TopTerminal } from '../../../../src/cli/traffic/top-terminal.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/** A terminal that notes what is done to it. */
function terminalOf(events: Partial<ConstructorParameters<typeof TopTerminal>[2]> = {}) {
  const raw: boolean[] = [];
  const written: string[] = [];
  const input = Object.assign(new PassThrough(), { setRawMode: (mode: boolean) => raw.push(mode) });
  const output = Object.assign(new EventEmitter(), {
    columns: 80,
    rows: 24,
    write: (text: string) => written.push(text),
  });
  const clock = new VirtualClock();
  const all = { key: () => undefined, lines: () => ['one', 'two'], end: () => undefined, ...events };
  const terminal = new TopTerminal(input as never, output as never, all, clock);
  return { terminal, raw, written, input, output, clock };
}

const pictures = (written: readonly string[]) => written.filter((text) => text.includes('one'));

describe('the terminal of top', () => {
  it('is given back as it was, once, and by the end of the program, too', () => {
    const events = ['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    const counts = () => events.map((event) => process.listenerCount(event));
    const before = counts();
    const { terminal, raw, written } = terminalOf();
    expect(raw).to.deep.equal([true]);
    expect(written).to.deep.equal(['\u001b[?1049h\u001b[?25l']);
    expect(counts()).to.deep.equal(before.map((count) => count + 1));
    const [restore] = process.listeners('exit').slice(-1) as [() => void];
    restore();
    expect(written.at(-1)).to.equal('\u001b[?25h\u001b[?1049l');
    terminal.close();
    expect(raw).to.deep.equal([true, false]);
    expect(written).to.have.length(2);
    expect(counts()).to.deep.equal(before);
  });

  it('draws four times a second at most, and at another size', async () => {
    const { terminal, written, output, clock } = terminalOf();
    for (let n = 0; n < 10; n++) terminal.redraw();
    expect(pictures(written)).to.deep.equal(['\u001b[Hone\u001b[K\r\ntwo\u001b[K\u001b[J']);
    await clock.advance(249);
    expect(pictures(written)).to.have.length(1);
    await clock.advance(1);
    expect(pictures(written)).to.have.length(2);
    await clock.advance(1000);
    output.emit('resize');
    expect(pictures(written)).to.have.length(3);
    terminal.redraw();
    terminal.close();
    await clock.advance(1000);
    expect(pictures(written)).to.have.length(3);
  });

  it('gives keys one by one', async () => {
    const keys: string[] = [];
    const { terminal, input } = terminalOf({
      key: ({ name, text, ctrl }) => keys.push(`${name} ${text} ${ctrl}`),
    });
    input.write('s/');
    input.write('\u0003');
    await new Promise((resolve) => setImmediate(resolve));
    expect(keys).to.deep.equal(['s s false', 'undefined / false', 'c \u0003 true']);
    terminal.close();
  });
});

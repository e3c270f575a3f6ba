import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { askPassword, givenPassword, type Keyboard } from '../../../../src/cli/flags/password.ts';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

/** A terminal: what is typed goes in, what is shown comes out. */
function terminal(isTTY = true) {
  const modes: boolean[] = [];
  const typed = new PassThrough();
  const stdin: Keyboard = Object.assign(typed, { isTTY, setRawMode: (on: boolean) => void modes.push(on) });
  let shown = '';
  const write = (part: Buffer, _: string, done: () => void) => {
    // A terminal that is not in raw mode shows what is typed in answer.
    if (modes.at(-1) === true) shown += String(part);
    else shown += `(shown) ${String(part)}`;
    done();
  };
  return { stdin, stderr: new Writable({ write }), typed, modes, shown: () => shown };
}

describe('a password', () => {
  const dir = useTempDir();
  const given = (file: string | undefined, env?: string, input = '') => {
    const { stdin, stderr, typed } = terminal(false);
    typed.end(input);
    return givenPassword({ file, env, stdin, stderr });
  };
  const code = async (work: Promise<unknown>) => codeOf(await work.catch((error: unknown) => error));

  it('is a file without its last line end, and nothing else of it is taken away', async () => {
    const file = path.join(dir(), 'password');
    for (const [text, password] of [
      ['geheim\n', 'geheim'],
      ['geheim\r\n', 'geheim'],
      ['two\nlines\n\n', 'two\nlines\n'],
      [' schlüssel€ ', ' schlüssel€ '],
      ['', ''],
    ] as const) {
      await writeFile(file, text);
      expect(await given(file, 'other')).to.equal(password);
      expect(await given('-', 'other', text)).to.equal(password);
    }
  });

  it('is that of the environment where no file is named, and may be empty', async () => {
    expect(await given(undefined, 'geheim')).to.equal('geheim');
    expect(await given(undefined, '')).to.equal('');
    expect(await given(undefined)).to.equal(undefined);
  });

  it('is no other file by mistake', async () => {
    const file = path.join(dir(), 'password');
    expect(await code(given(file))).to.equal('CONFIG_INVALID');
    await writeFile(file, 'x'.repeat(1025));
    expect(await code(given(file))).to.equal('CONFIG_INVALID');
    await writeFile(file, Buffer.from([0xff, 0xfe, 0x41]));
    expect(await code(given(file))).to.equal('CONFIG_INVALID');
    expect(await code(given('/dev/zero'))).to.equal('CONFIG_INVALID');
  });

  it('is typed at a terminal without being shown', async () => {
    const { stdin, stderr, typed, modes, shown } = terminal();
    const asked = askPassword({ stdin, stderr }, 'ca.p12');
    expect(modes).to.deep.equal([true]);
    typed.write('geh');
    typed.write('x\u007feim€');
    typed.write('\rrest');
    expect(await asked).to.equal('geheim€');
    expect(modes).to.deep.equal([true, false]);
    expect(shown()).to.equal('Password of ca.p12: (shown) \n');
  });

  it('is not asked for without a terminal, and the question can be given up', async () => {
    const none = terminal(false);
    expect(await askPassword(none, 'ca.p12')).to.equal(undefined);
    expect(none.shown()).to.equal('');
    for (const key of ['\u0003', '\u0004']) {
      const { stdin, stderr, typed, modes } = terminal();
      typed.write(`geheim${key}`);
      expect(await askPassword({ stdin, stderr }, 'ca.p12')).to.equal(undefined);
      expect(modes).to.deep.equal([true, false]);
    }
    const gone = terminal();
    gone.typed.end();
    expect(await askPassword(gone, 'ca.p12')).to.equal(undefined);
  });
});

import { expect } from 'chai';
import type { Command } from 'commander';
import { HELP_FORMAT, verbs } from '../../../src/cli/verbs.ts';

const WIDTH = 80;

function helpOf(command: Command): string {
  let text = '';
  command
    .configureHelp({ ...HELP_FORMAT, helpWidth: WIDTH })
    .configureOutput({ writeOut: (part) => (text += part), getOutHasColors: () => false })
    .outputHelp();
  return text;
}

describe('help texts', () => {
  // `link`, `install` and others ran to 150 columns, because they have a flag of 40; other verbs wrapped
  // at 80.
  it('of all verbs wrap at one width, except for what has no space in it', async () => {
    for (const [name, load] of Object.entries(verbs)) {
      const command = (await load())();
      for (const one of [command, ...command.commands]) {
        const [flags = ''] = helpOf(one).split('\nExamples:');
        const long = flags.split('\n').filter((line) => line.length > WIDTH);
        const breakable = long.filter(
          (line) => /^ {20,}\S+ \S/.test(line) || /^ {2}-\S.* {2}\S+ \S/.test(line),
        );
        expect(breakable, `${name} ${one.name()}`).to.deep.equal([]);
      }
    }
  });

  it('of each flag stand alone: none goes on from the one before', async () => {
    for (const [name, load] of Object.entries(verbs)) {
      const command = (await load())();
      for (const one of [command, ...command.commands])
        for (const { long, description } of one.options)
          expect(description, `${name} ${long}`).not.to.match(/^(and|also|instead|do not$|give them)\b/);
    }
  });
});

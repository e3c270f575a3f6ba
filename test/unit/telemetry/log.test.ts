import { expect } from 'chai';
import { createLogger } from '../../../src/telemetry/log.ts';

describe('A line of the log', () => {
  // What a peer has sent stands in errors, and people read logs on terminals.
  it('moves no terminal, and is the same for programs', () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const said = 'a\u001b[2J\u009b2J\u202emoc';
    createLogger({ name: 'gateway', level: 'info', destination }).info(
      { err: new Error(said), said },
      'said',
    );
    expect(lines[0]).to.match(/^[^\p{Cc}\p{Cf}]+\n$/u);
    expect(JSON.parse(lines[0] ?? ''))
      .to.deep.include({ said })
      .and.to.have.nested.property('err.message', said);
  });
});

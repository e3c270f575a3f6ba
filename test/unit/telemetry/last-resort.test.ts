import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import { Exposition } from '../../../src/telemetry/exposition.ts';
import { LastResort, writeProcessErrors } from '../../../src/telemetry/last-resort.ts';
import { captureLog } from '../../support/captured-log.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

describe('the last resort of a process', () => {
  const begin = () => {
    const { log, lines } = captureLog();
    const exits: number[] = [];
    const host = Object.assign(new EventEmitter(), { exit: (code: number) => void exits.push(code) });
    const lastResort = new LastResort({ log, clock: new VirtualClock() }, host);
    return { lastResort, lines, exits, host };
  };

  // A start that came to a halt by an exception would stay there for ever, never ready, and nobody would
  // begin it again.
  it('ends a process that has read nothing from others yet', () => {
    const { lines, exits, host } = begin();
    host.emit('uncaughtException', new Error('first'));
    expect(exits).to.deep.equal([1]);
    expect(lines[0]).to.include({ code: 'INTERNAL_ERROR', msg: 'nobody caught an error, the process ends' });
  });

  it('counts, says and goes on from then on', () => {
    const { lastResort, lines, exits, host } = begin();
    lastResort.surviveUncaught();
    host.emit('uncaughtException', new Error('one'));
    host.emit('unhandledRejection', new Error('two'));
    host.emit('unhandledRejection', undefined);
    expect(exits).to.deep.equal([]);
    expect(lines.map(({ kind }) => kind)).to.deep.equal(['exception', 'rejection', 'rejection']);
    const out = new Exposition();
    writeProcessErrors(out, lastResort.counts);
    expect(out.text).to.contain('linkspan_process_errors_total{kind="exception"} 1\n');
    expect(out.text).to.contain('linkspan_process_errors_total{kind="rejection"} 2\n');
  });
});

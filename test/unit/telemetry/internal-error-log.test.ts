import { expect } from 'chai';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';
import { InternalErrorLog } from '../../../src/telemetry/internal-error-log.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { captureLog, type LogLine } from '../../support/captured-log.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const MESSAGE = 'internal error, its flow was ended';
const here = () => new TypeError('x is not a function');

describe('the log of internal errors', () => {
  let clock: VirtualClock;
  let lines: LogLine[];
  let errors: InternalErrorLog;

  beforeEach(() => {
    clock = new VirtualClock();
    const captured = captureLog();
    ({ lines } = captured);
    errors = new InternalErrorLog({ log: captured.log, clock });
  });

  // Whoever had found one way to make the gateway throw could fill its node's disk, 4 kB with each request.
  it('has 20 lines a minute, and says how many it has left out', async () => {
    for (let at = 0; at < 1000; at++) errors.say(here(), MESSAGE);
    expect(lines.map(({ msg }) => msg)).to.deep.equal(Array.from({ length: 20 }, () => MESSAGE));
    await clock.advance(60_000);
    expect(lines.at(-1)).to.include({ msg: 'internal errors left out of the log', leftOut: 980 });
    errors.say(here(), MESSAGE);
    expect(lines).to.have.length(22);
    await clock.advance(120_000);
    expect(lines).to.have.length(22);
  });

  // A storm of one mistake, which is known, must not hide the first sight of another.
  it('has the first line of each place, however many others there are', async () => {
    for (let at = 0; at < 1000; at++) errors.say(here(), MESSAGE);
    errors.say(new TypeError('elsewhere'), MESSAGE);
    expect(lines.at(-1)?.err?.message).to.equal('elsewhere');
  });

  // The text may be a peer's: it makes no place, and has no length that it likes.
  it('takes nothing in a text for a place, and cuts texts', async () => {
    for (let at = 0; at < 1000; at++)
      errors.say(new Error(`y\n    at place ${at}\n    at another ${at}`), MESSAGE);
    expect(lines).to.have.length(20);
    await clock.advance(60_000);
    errors.say(new Error('z'.repeat(1_000_000)), MESSAGE);
    expect(JSON.stringify(lines.at(-1)).length).to.be.lessThan(20_000);
  });

  it('has the stack also of an error with a code', () => {
    errors.say(new LinkspanError('CONFIG_INVALID', 'no'), MESSAGE, { kind: 'exception' });
    const [line] = lines;
    expect(line).to.include({ code: 'INTERNAL_ERROR', kind: 'exception', level: 'error' });
    expect(line?.['stack']).to.contain('internal-error-log.test.ts');
  });

  it('throws at nobody, whatever has been thrown, and whatever the log does', async () => {
    const hostile = new Error();
    Object.defineProperty(hostile, 'message', {
      get: () => {
        throw new Error('gotcha');
      },
    });
    for (const thrown of [undefined, null, 'text', 7, Object.create(null), hostile])
      errors.say(thrown, MESSAGE);
    await clock.advance(60_000);
    const full = {
      write: () => {
        throw new Error('ENOSPC');
      },
    };
    const broken = new InternalErrorLog({
      log: createLogger({ level: 'info', name: 't', destination: full }),
      clock,
    });
    broken.say(here(), MESSAGE);
    await clock.advance(60_000);
    await clock.advance(60_000);
  });
});

import { expect } from 'chai';
import { RoundTrip } from '../../../../src/proxy/http2/round-trip.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/** What a PING frame has behind its head of nine bytes. */
const HEAD = 9;

describe('The round trip to a peer', () => {
  const opened = () => {
    const clock = new VirtualClock();
    const sent: Buffer[] = [];
    const connection = { control: (bytes: Buffer) => void sent.push(bytes) };
    return { clock, sent, connection, round: new RoundTrip(clock) };
  };
  const payload = (sent: readonly Buffer[]) => sent.at(-1)?.subarray(HEAD) ?? Buffer.alloc(0);

  it('is the least, and a mean of which the latest count most', async () => {
    const { clock, sent, connection, round } = opened();
    expect(round.times).to.equal(undefined);
    for (const ms of [40, 80, 20]) {
      round.ask(connection);
      await clock.advance(ms);
      round.answered(connection, payload(sent));
    }
    // 40, then 40 + 40 / 8, then 45 - 25 / 8.
    expect(round.times).to.deep.equal({ leastMs: 20, meanMs: 41.875 });
  });

  it('is not asked for twice at a time, and is of each connection alone', async () => {
    const { clock, sent, connection, round } = opened();
    const other = { control: connection.control };
    round.ask(connection);
    round.ask(connection);
    expect(sent).to.have.length(1);
    await clock.advance(50);
    round.ask(other);
    await clock.advance(10);
    round.answered(other, payload(sent));
    expect(round.times).to.deep.equal({ leastMs: 10, meanMs: 10 });
    round.forget(connection);
    round.answered(connection, payload(sent));
    expect(round.times?.leastMs).to.equal(10);
  });

  it('is not taken from answers that nobody asked for, or that are for others', () => {
    const { sent, connection, round } = opened();
    round.answered(connection, Buffer.from('linkrtt0'));
    round.ask(connection);
    round.answered(connection, Buffer.from('linkspan'));
    expect([round.times, sent.length]).to.deep.equal([undefined, 1]);
  });
});

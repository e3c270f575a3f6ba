import { expect } from 'chai';
import fc from 'fast-check';
import {
  drainProblem,
  type FailoverDrain,
  readDrain,
  writeDrain,
} from '../../../../src/api/failover/failover-drain.ts';

const DRAIN: FailoverDrain = {
  to: 0.25,
  start: Date.UTC(2026, 10, 29, 14),
  rampMs: 300_000,
  until: Date.UTC(2026, 10, 29, 16),
  drill: false,
  by: 'ada',
  reason: 'new nodes',
};
const TEXT =
  '{"to":0.25,"start":"2026-11-29T14:00:00.000Z","ramp":"300000ms","until":"2026-11-29T16:00:00.000Z","by":"ada","reason":"new nodes"}';
const changed = (change: Readonly<Record<string, unknown>>) =>
  readDrain(JSON.stringify({ ...(JSON.parse(TEXT) as object), ...change }));

describe('the annotation of a drain', () => {
  it('is read as it was written', () => {
    expect(writeDrain(DRAIN)).to.equal(TEXT);
    expect(readDrain(TEXT)).to.deep.equal(DRAIN);
    const drill = { ...DRAIN, drill: true };
    expect(readDrain(writeDrain(drill))).to.deep.equal(drill);
  });

  it('is read as people write it', () => {
    expect(changed({ ramp: '5m', start: '2026-11-29T14:00:00Z' })).to.deep.equal(DRAIN);
    expect(changed({ ramp: '0', by: 7, reason: 'x'.repeat(300) })).to.include({
      rampMs: 0,
      reason: 'x'.repeat(200),
    });
  });

  it('is none where anything is wrong, or it would never end', () => {
    for (const change of [
      { to: -0.1 },
      { to: 1.1 },
      { to: '0%' },
      { start: 'now' },
      { start: '2026-13-01T00:00:00Z' },
      { start: 1 },
      { start: '2026-02-31T00:00:00Z' },
      { until: '2026-11-31T00:00:00Z' },
      { until: undefined },
      { until: '2026-11-29T13:00:00Z' },
      { ramp: 'slow' },
      { ramp: '25h' },
      { ramp: undefined },
    ])
      expect(changed(change), JSON.stringify(change)).to.equal(undefined);
    for (const text of [undefined, '', 'null', '[]', `${TEXT}${' '.repeat(1024)}`])
      expect(readDrain(text), text).to.equal(undefined);
  });

  it('of any text gives a drain that can be written again, or none', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const drain = readDrain(text);
        expect(drainProblem(text) === undefined).to.equal(drain !== undefined);
        if (drain !== undefined) expect(readDrain(writeDrain(drain))).to.deep.equal(drain);
      }),
    );
  });
});

import { expect } from 'chai';
import { FaultAnnotations, readFaults } from '../../../../src/policy/faults/fault-annotations.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const KEY = 'linkspan.dev/faults';
const NOW = Date.UTC(2026, 10, 24, 12);
const UNTIL = '2026-11-24T13:00:00Z';
const read = (value: unknown) => readFaults(typeof value === 'string' ? value : JSON.stringify(value), NOW);
const problem = (rule: object) => read([{ until: UNTIL, ...rule }]).problems[0];

describe('annotations of faults', () => {
  it('say what is done to whom, how often and how long', () => {
    const headers = { 'X-Drill': 'yes' };
    expect(
      read([
        { until: UNTIL, percent: 12.5, headers, delay: '1.5s', jitter: '500ms', abort: { status: 418 } },
      ]),
    ).to.deep.equal({
      problems: [],
      rules: [
        {
          until: Date.parse(UNTIL),
          percent: 12.5,
          headers: [{ name: 'x-drill', value: 'yes' }],
          delayMs: 1500,
          jitterMs: 500,
          abort: { status: 418, grpc: 2 },
          reset: false,
        },
      ],
    });
    expect(read([{ until: '2026-11-24T14:00:00+01:30', reset: true }]).rules[0]).to.deep.include({
      until: Date.UTC(2026, 10, 24, 12, 30),
      percent: 100,
      headers: [],
      delayMs: 0,
      reset: true,
    });
  });

  it('need one of the two statuses; the other follows', () => {
    const abort = (said: object) => read([{ until: UNTIL, abort: said }]).rules[0]?.abort;
    expect(abort({ status: 503 })).to.deep.equal({ status: 503, grpc: 14 });
    expect(abort({ grpc: 8 })).to.deep.equal({ status: 429, grpc: 8 });
    expect(abort({ grpc: 13 })).to.deep.equal({ status: 500, grpc: 13 });
    expect(abort({ status: 500, grpc: 4 })).to.deep.equal({ status: 500, grpc: 4 });
  });

  it('may have ended already', () => {
    const { rules, problems } = read([{ until: '2020-01-01T00:00:00Z', reset: true }]);
    expect([rules.length, problems]).to.deep.equal([1, []]);
  });

  it('that are wrong inject nothing, and say what is wrong', () => {
    const says: [unknown, RegExp][] = [
      ['{', /it is not JSON/],
      [{}, /not a list of rules/],
      [[{ reset: true }], /\[0\]\.until/],
      [Array.from({ length: 17 }, () => ({ until: UNTIL, reset: true })), /more than 16 rules/],
      [
        [{ until: 'tomorrow', reset: true }],
        /\[0\]\.until: "tomorrow" is not a time of RFC 3339 such as 2026-11-24T13:00:00Z/,
      ],
      [[{ until: '2026-11-24', reset: true }], /is not a time of RFC 3339/],
      [
        [{ until: '2026-11-25T12:00:01Z', reset: true }],
        /\[0\]\.until: "2026-11-25T12:00:01Z" is more than 24 h ahead/,
      ],
    ];
    for (const [value, pattern] of says) {
      const { rules, problems } = read(value);
      expect(rules, String(pattern)).to.deep.equal([]);
      expect(problems).to.have.length(1);
      expect(problems[0])
        .to.match(pattern)
        .and.match(/^linkspan\.dev\/faults: .*; nothing is injected$/);
    }
    expect(problem({})).to.match(/none of delay, abort, reset/);
    expect(problem({ reset: true, abort: { status: 500 } })).to.match(/exclude each other/);
    expect(problem({ reset: true, jitter: '1s' })).to.match(/jitter without delay/);
    expect(problem({ delay: '2m' })).to.match(/delay: "2m" is not a time such as 200ms, of up to 1m/);
    expect(problem({ delay: '0ms' })).to.match(/not a time/);
    expect(problem({ abort: {} })).to.match(/abort: neither status nor grpc/);
    expect(problem({ abort: { status: 200 } })).to.match(/abort\.status: not a whole number from 400 to 599/);
    expect(problem({ abort: { grpc: 0 } })).to.match(/abort\.grpc: not a whole number from 1 to 16/);
    expect(problem({ reset: true, percent: 0 })).to.match(
      /percent: not a number that is more than 0 and at most 100/,
    );
    expect(problem({ reset: true, percent: '5' })).to.match(/percent: not a number/);
    expect(problem({ reset: true, headers: { 'no name': 'x' } })).to.match(/header/);
    expect(problem({ dealy: '1s' })).to.match(/unknown setting "dealy" \(did you mean "delay"\?\)/);
  });

  it('that end too late do not begin by themselves later', async () => {
    const clock = new VirtualClock(NOW);
    const annotations = new FaultAnnotations(clock, true);
    const late = { [KEY]: JSON.stringify([{ until: '2026-11-25T18:00:00Z', reset: true }]) };
    expect(annotations.of('demo/web', late).problems[0]).to.match(/more than 24 h ahead/);
    await clock.advance(10 * 3_600_000);
    expect(annotations.of('demo/web', late).rules).to.deep.equal([]);
    // Somebody has looked at it again.
    annotations.of('demo/web', undefined);
    expect(annotations.of('demo/web', late).rules).to.have.length(1);
  });

  it('are not followed where they are not allowed', () => {
    const annotations = new FaultAnnotations(new VirtualClock(NOW), false);
    const { rules, problems } = annotations.of('demo/web', {
      [KEY]: JSON.stringify([{ until: UNTIL, reset: true }]),
    });
    expect(rules).to.deep.equal([]);
    expect(problems).to.deep.equal([
      `${KEY} has no effect: the gateway was started without --allow-fault-injection`,
    ]);
  });
});

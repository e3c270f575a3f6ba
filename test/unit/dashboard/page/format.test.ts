import { expect } from 'chai';
import {
  age,
  bytes,
  codeParts,
  commandsOf,
  latency,
  part,
  perSecond,
  rate,
  several,
  share,
} from '../../../../src/dashboard/page/format.ts';

describe('how the page writes numbers', () => {
  it('has rates, shares and times in few digits, and a dash for what was not measured', () => {
    expect([0, 0.01, 0.42, 12.34, 340.4, 12_400, 2_500_000].map(rate)).to.deep.equal([
      '0',
      '<0.1',
      '0.4',
      '12.3',
      '340',
      '12.4k',
      '2.5M',
    ]);
    expect([0.42, 12.4, 999.6, 1890, 65_000].map(latency)).to.deep.equal([
      '0.4 ms',
      '12 ms',
      '1,000 ms',
      '1.9 s',
      '65 s',
    ]);
    expect([0, 412, 1500, 2_400_000].map(bytes)).to.deep.equal(['0 B', '412 B', '1.5 kB', '2.4 MB']);
    for (const write of [rate, latency, share, bytes, age, part, perSecond])
      expect(write(null)).to.equal('–');
  });

  it('never says 100 % of what is less', () => {
    expect([1, 0.999_999, 0.9997, 0.412].map(share)).to.deep.equal(['100 %', '99.99 %', '99.97 %', '41.2 %']);
  });

  it('has ages in the unit that matters', () => {
    expect([-3, 4.2, 89, 100, 7200, 200_000].map(age)).to.deep.equal([
      '0 s',
      '4 s',
      '89 s',
      '2 min',
      '2 h',
      '2 d',
    ]);
    expect([several(1, 'mirror'), several(2, 'egress', 'egresses')]).to.deep.equal([
      '1 mirror',
      '2 egresses',
    ]);
  });

  it('finds commands between backticks, each once', () => {
    const text = 'See `linkspan links`, the Service `web` and `kubectl get svc`; again: `linkspan links`.';
    expect(commandsOf(text)).to.deep.equal(['linkspan links', 'kubectl get svc']);
    expect(codeParts('`a` b')).to.deep.equal([
      { code: true, text: 'a' },
      { code: false, text: ' b' },
    ]);
  });
});

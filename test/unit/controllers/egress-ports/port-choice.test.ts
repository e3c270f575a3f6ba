import { expect } from 'chai';
import fc from 'fast-check';
import { chooseEgressPorts } from '../../../../src/controllers/egress-ports/port-choice.ts';

const nothingTaken = () => false;

describe('egress ports', () => {
  it('gives a mirror that is made again the ports it had', () => {
    const first = chooseEgressPorts('demo/web-west', [80, 443], {}, nothingTaken);
    expect(chooseEgressPorts('demo/web-west', [443, 80], {}, nothingTaken)).to.deep.equal(first);
  });

  it('keeps the ports that a mirror has when it gains one', () => {
    const ports = chooseEgressPorts('demo/web-west', [80, 443], { 80: 12_000 }, nothingTaken);
    expect(ports).to.have.property('80', 12_000);
  });

  it('moves a port that an older mirror holds', () => {
    const ports = chooseEgressPorts('demo/web-west', [80], { 80: 12_000 }, (port) => port === 12_000);
    expect(ports?.[80]).to.be.a('number').not.equal(12_000);
  });

  it('says when the range is full', () => {
    const range = { first: 10_000, last: 10_001 };
    expect(chooseEgressPorts('a/b', [1, 2, 3], {}, nothingTaken, range)).to.equal(undefined);
  });

  it('never gives one port twice or one outside the range', () => {
    const range = { first: 10_000, last: 10_040 };
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 65_535 }), { maxLength: 20 }),
        fc.string(),
        (wanted, mirror) => {
          const ports = Object.values(
            chooseEgressPorts(mirror, wanted, {}, (port) => port % 2 === 1, range) ?? {},
          );
          return (
            new Set(ports).size === wanted.length &&
            ports.every((port) => port >= 10_000 && port <= 10_040 && port % 2 === 0)
          );
        },
      ),
    );
  });
});

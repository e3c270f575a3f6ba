import { expect } from 'chai';
import { writeDrain } from '../../../../src/api/failover/failover-drain.ts';
import { FAILOVER_DRAIN } from '../../../../src/api/failover/failover-names.ts';
import {
  drainedText,
  drainRow,
  drainText,
  undrainText,
  waitText,
} from '../../../../src/cli/output/drain-text.ts';
import { planDrain } from '../../../../src/drains/drain-plan.ts';
import { federated, link, NOW, objects, slice } from '../../drains/drain-objects.ts';

const MINUTE = 60_000;
const WISH = { to: 0, rampMs: 5 * MINUTE, lastsMs: 120 * MINUTE, drill: false };
const plan = (given = objects(), wish = WISH, cluster = 'west') => planDrain(given, { cluster }, wish, NOW);
const tiered = (annotations: Record<string, string> = {}) =>
  objects({
    services: [
      federated('web', ['west', 'north'], { 'failover.linkspan.dev/tiers': 'west; north' }),
      federated('api', ['north']),
    ],
    links: [link('west', annotations), link('north')],
  });

describe('linkspan drain', () => {
  it('says what it does to each Service', () => {
    expect(drainText(plan(tiered()), { cluster: 'west', written: true }, NOW)).to.equal(
      [
        'Draining west to 0%: over 5m, until 2026-11-29T16:00:00Z (2h)',
        '',
        'SERVICE              NOW    THEN   CAPACITY THEN',
        'shop/web-federated   100%   0%     100%',
        '',
      ].join('\n'),
    );
  });

  it('says what speaks against it where it was forced, and leaves that to the error where it is refused', () => {
    const given = objects({ slices: [slice('web', 'west'), slice('web', 'north', { ready: 4 })] });
    const table = [
      ' west to 0%: over 5m, until 2026-11-29T16:00:00Z (2h)',
      '',
      'SERVICE              NOW     THEN   CAPACITY THEN',
      'shop/web-federated   64.1%   0%     28%',
      '',
    ].join('\n');
    const text = (written: boolean) => drainText(plan(given), { cluster: 'west', written }, NOW);
    expect(text(false)).to.equal(`Would drain${table}`);
    expect(text(true)).to.equal(
      `Draining${table}\n[DRAIN_CAPACITY] without west capacity would be short: shop/web-federated (28% of what is asked)\n`,
    );
    expect(drainText(plan(objects(), WISH, 'north'), { cluster: 'north', written: false }, NOW)).to.match(
      /shop\/api-federated +100% +100% +nobody else\n/,
    );
  });

  it('says which drain it replaces', () => {
    const before = {
      to: 0.5,
      start: NOW - MINUTE,
      rampMs: 2 * MINUTE,
      until: NOW + 30 * MINUTE,
      drill: false,
    };
    const text = writeDrain({ ...before, by: 'ada', reason: 'new nodes' });
    const lines = drainText(
      plan(tiered({ [FAILOVER_DRAIN]: text })),
      { cluster: 'west', written: true },
      NOW,
    );
    expect(lines.split('\n').slice(0, 2)).to.deep.equal([
      'Draining west to 0%: over 225s, until 2026-11-29T16:00:00Z (2h)',
      'It replaces the drain to 50% by ada (new nodes) until 2026-11-29T14:30:00Z, and goes on from where that is.',
    ]);
  });

  it('says so where nothing is affected', () => {
    const given = objects({ services: [], slices: [] });
    expect(drainText(plan(given), { cluster: 'west', written: true }, NOW)).to.contain(
      'Neither a federated Service nor one without selector is served by west.',
    );
  });

  it('has the same for programs', () => {
    expect(drainRow(plan(tiered()), { cluster: 'west', written: true })).to.deep.equal({
      cluster: 'west',
      service: null,
      to: 0,
      start: '2026-11-29T14:00:00Z',
      rampSeconds: 300,
      until: '2026-11-29T16:00:00Z',
      services: [
        {
          service: 'shop/web-federated',
          share: 1,
          shareThen: 0,
          capacityBefore: 2,
          capacityAfter: 1,
          sole: false,
        },
      ],
      problems: [],
      written: true,
    });
  });

  it('says how it goes, and that it is over', () => {
    const west = { cluster: 'west' };
    const drain = { to: 0, start: NOW, rampMs: 300_000, until: NOW, drill: false };
    expect(waitText({ ...west, service: 'shop/web' }, 61_200)).to.equal(
      'west in shop/web is being drained, 62s left',
    );
    expect(drainedText(west)).to.equal('west is drained');
    expect(undrainText(drain, { ...west, written: true })).to.equal(
      'west is drained no longer: its share comes back over 5m\n',
    );
    expect(undrainText({ ...drain, rampMs: 0 }, { ...west, written: false })).to.equal(
      'Would end the drain of west: its share comes back at once\n',
    );
    expect(undrainText(undefined, { ...west, written: false })).to.equal('west is not drained\n');
  });
});

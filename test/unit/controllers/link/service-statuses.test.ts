import { expect } from 'chai';
import fc from 'fast-check';
import { MAX_LISTED, ServiceStatusList } from '../../../../src/controllers/link/service-statuses.ts';
import type { Outcome } from '../../../../src/controllers/reconcile/reconciler.ts';
import type { ServiceStatus } from '../../../../src/api/link/link-status.ts';

const outcome = (reason: Outcome['reason'], since = 0): Outcome => ({
  reason,
  message: '',
  local: 'x-west',
  since,
});
const namesOf = (list: readonly ServiceStatus[]) => list.map(({ remoteRef }) => remoteRef.name);

describe('the list of a Link’s Services', () => {
  it('works out the one entry that something has changed about, of two thousand', () => {
    const outcomes = new Map<string, Outcome>();
    for (let at = 0; at < 2000; at++) outcomes.set(`demo/s${at}`, outcome('Mirrored'));
    const list = new ServiceStatusList(outcomes, undefined);
    const before = list.of(outcomes);
    expect(list.of(outcomes), 'nothing was marked').to.equal(before);
    outcomes.set('demo/s1000', outcome('NameConflict'));
    list.mark('demo/s1000');
    const after = list.of(outcomes);
    expect(after[0]?.remoteRef.name).to.equal('s1000');
    const known = new Set(before);
    expect(after.filter((entry) => !known.has(entry))).to.have.length(1);
    expect(after).to.have.length(MAX_LISTED);
  });

  it('keeps the time at which an entry began to say what it says, also over a restart', () => {
    const outcomes = new Map([['demo/a', outcome('Mirrored', Date.UTC(2026, 0, 2))]]);
    const written = new ServiceStatusList(outcomes, undefined).of(outcomes);
    const later = new Map([
      ['demo/a', { ...outcome('Mirrored', Date.UTC(2026, 0, 9)), message: 'all well' }],
    ]);
    const restarted = new ServiceStatusList(later, written);
    const timeOf = () => restarted.of(later)[0]?.conditions?.[0]?.lastTransitionTime;
    expect(timeOf()).to.equal('2026-01-02T00:00:00Z');
    later.set('demo/a', outcome('NoReadyEndpoints', Date.UTC(2026, 0, 10)));
    restarted.mark('demo/a');
    expect(timeOf()).to.equal('2026-01-10T00:00:00Z');
  });

  it('is, whatever changes in whatever order, what working all of it out anew would give', () => {
    const reasons: Outcome['reason'][] = ['Mirrored', 'NoReadyEndpoints', 'NameConflict', 'NotSynced'];
    const change = fc.tuple(fc.integer({ min: 0, max: 600 }), fc.constantFrom(undefined, ...reasons));
    const batch = fc.array(change, { maxLength: 300 });
    fc.assert(
      fc.property(fc.array(batch, { maxLength: 5 }), (batches) => {
        const outcomes = new Map<string, Outcome>();
        for (let at = 0; at < 550; at++) outcomes.set(`demo/s${at}`, outcome('Mirrored'));
        const list = new ServiceStatusList(outcomes, undefined);
        list.of(outcomes);
        for (const changes of batches) {
          for (const [at, reason] of changes) {
            const key = `demo/s${at}`;
            if (reason === undefined) outcomes.delete(key);
            else outcomes.set(key, outcome(reason));
            list.mark(key);
          }
          const now = list.of(outcomes);
          expect(now).to.deep.equal(new ServiceStatusList(outcomes, undefined).of(outcomes));
          const wanted = [...outcomes].filter(([, { reason }]) => reason !== 'NotSynced');
          const trouble = wanted.filter(([, { reason }]) => reason === 'NameConflict').map(([key]) => key);
          const well = wanted.filter(([, { reason }]) => reason !== 'NameConflict').map(([key]) => key);
          const keys = [...trouble.sort(), ...well.sort()].slice(0, MAX_LISTED);
          expect(namesOf(now)).to.deep.equal(keys.map((key) => key.slice('demo/'.length)));
        }
      }),
      { numRuns: 20 },
    );
  });
});

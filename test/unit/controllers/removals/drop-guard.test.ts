import { expect } from 'chai';
import { DropGuard, removalsHeld } from '../../../../src/controllers/removals/drop-guard.ts';

describe('drop guard', () => {
  const cases: readonly [string, [mirrors: number, absent: number, confirmed: number], boolean][] = [
    ['half of many is let through', [100, 50, 0], false],
    ['more than half of many is held', [100, 51, 0], true],
    ['all of few is let through', [9, 9, 0], false],
    ['all of ten is held', [10, 10, 0], true],
    ['what a second list confirmed is let through', [100, 90, 90], false],
    ['what went absent after the second list is held again', [100, 95, 20], true],
  ];
  for (const [story, [mirrors, absent, confirmed], held] of cases) {
    it(story, () => expect(removalsHeld({ mirrors, absent, confirmed }, { fraction: 0.5 })).to.equal(held));
  }

  it('is off with a fraction of 1', () => {
    expect(removalsHeld({ mirrors: 100, absent: 100, confirmed: 0 }, { fraction: 1 })).to.equal(false);
  });
});

describe('drop guard, key by key', () => {
  const guardOf = (mirrors: number) => {
    const guard = new DropGuard({ fraction: 0.5 });
    for (let index = 0; index < mirrors; index++) guard.note(`demo/s${index}`, true, 'there');
    return guard;
  };
  const lose = (guard: DropGuard, count: number, state: 'absent' | 'emptied' = 'absent') => {
    for (let index = 0; index < count; index++) guard.note(`demo/s${index}`, true, state);
  };

  it('lets go what is confirmed, and holds what goes absent later', () => {
    const guard = guardOf(40);
    lose(guard, 30);
    expect(guard.held('demo/s0')).to.equal(true);
    expect(guard.confirm(new Set(['demo/s1']))).to.have.length(29);
    expect(guard.held('demo/s0')).to.equal(false);
    expect(guard.held('demo/s1'), 'one alone is never held').to.equal(false);
  });

  it('forgets a confirmation when the export is back', () => {
    const guard = guardOf(20);
    lose(guard, 20);
    guard.confirm(new Set());
    lose(guardOf(0), 0);
    for (let index = 0; index < 20; index++) guard.note(`demo/s${index}`, true, 'there');
    lose(guard, 20);
    expect(guard.held('demo/s0')).to.equal(true);
  });

  it('counts mirrors whose slices are all gone too, and lets them be emptied once the cluster is known to be the same', () => {
    const guard = guardOf(20);
    lose(guard, 20, 'emptied');
    expect(guard.holding).to.equal(true);
    guard.confirm(new Set(Array.from({ length: 20 }, (_, index) => `demo/s${index}`)));
    expect(guard.holding).to.equal(false);
  });

  it('holds nothing any more when the mirrors themselves are gone', () => {
    const guard = guardOf(20);
    lose(guard, 20);
    for (let index = 0; index < 20; index++) guard.note(`demo/s${index}`, false, 'absent');
    expect([guard.claims, guard.holding]).to.deep.equal([0, false]);
  });
});

import { expect } from 'chai';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ALONE, defaultShards, fastOnly, recorded, schedule } from '../../../../scripts/testing/shards.ts';

const each = (shards: number) => ({ unit: shards, wire: shards, integration: shards });
const root = path.join(import.meta.dirname, '../../../..');

describe('dealing tests out to processes', () => {
  const files = new Map([
    ['unit' as const, ['a', 'b', 'c', 'd', 'e']],
    ['integration' as const, ['x']],
  ]);

  it('gives every file to one process, the long ones to different ones, in the order of their names', () => {
    const { together } = schedule(files, { durations: { b: 10, d: 9, e: 2 }, shards: each(2), alone: [] });
    expect(together).to.deep.equal([
      { title: 'unit 1 of 2', suite: 'unit', files: ['a', 'b', 'c'] },
      { title: 'unit 2 of 2', suite: 'unit', files: ['d', 'e'] },
      { title: 'integration', suite: 'integration', files: ['x'] },
    ]);
  });

  it('runs what measures the machine after all others, each file by itself', () => {
    const { together, alone } = schedule(files, { durations: {}, shards: each(9), alone: ['c', 'x'] });
    expect(together.flatMap((shard) => shard.files)).to.have.members(['a', 'b', 'd', 'e']);
    expect(alone).to.deep.equal([
      { title: 'c', suite: 'unit', files: ['c'] },
      { title: 'x', suite: 'integration', files: ['x'] },
    ]);
  });

  it('makes no process without a file', () => {
    expect(schedule(new Map([['wire', []]]), { durations: {}, shards: each(3) }).together).to.deep.equal([]);
    expect(schedule(files, { durations: {}, shards: each(99), alone: [] }).together).to.have.length(6);
  });

  it('knows where the files are that run alone', () => {
    expect(ALONE.filter((file) => !existsSync(path.join(root, file)))).to.deep.equal([]);
  });

  it('leaves out of the fast tests what is known to take long', () => {
    expect(fastOnly(['a', 'b', 'c'], { b: 1 })).to.deep.equal(['a', 'c']);
  });

  const all = ['unit', 'wire', 'integration'] as const;
  for (const { what, suites = all, cores, gigabytes, shards } of [
    { what: 'two cores', cores: 2, gigabytes: 16, shards: [1, 2, 4] },
    { what: 'one core, because most tests wait', cores: 1, gigabytes: 16, shards: [1, 2, 4] },
    { what: 'four cores', cores: 4, gigabytes: 16, shards: [2, 4, 5] },
    { what: 'many cores, no more than eight and ten', cores: 64, gigabytes: 256, shards: [4, 8, 10] },
    { what: 'cores without memory for so many clusters', cores: 8, gigabytes: 7, shards: [4, 8, 2] },
    { what: 'hardly any memory', cores: 2, gigabytes: 1, shards: [1, 2, 1] },
    {
      what: 'two cores without integration',
      suites: ['unit'] as const,
      cores: 2,
      gigabytes: 16,
      shards: [2, 2, 4],
    },
  ])
    it(`gives each suite its processes on ${what}`, () => {
      const given = defaultShards(suites, { cores, bytes: gigabytes * 2 ** 30 });
      expect([given.unit, given.wire, given.integration]).to.deep.equal(shards);
    });

  it('keeps what was measured, but not of files that are gone or take no second', () => {
    const measured = { fresh: 1549, quick: 400, slower: 4000 };
    const kept = recorded({ slower: 3, stays: 2, gone: 9, quick: 7 }, measured, (file) => file !== 'gone');
    expect(kept).to.deep.equal({ fresh: 1.5, slower: 4, stays: 2 });
    expect(Object.keys(kept)).to.deep.equal(['fresh', 'slower', 'stays']);
  });
});

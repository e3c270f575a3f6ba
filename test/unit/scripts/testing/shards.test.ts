import { expect } from 'chai';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import {
  ALONE,
  type Clusters,
  clustersOf,
  defaultShards,
  fastOnly,
  recorded,
  schedule,
} from '../../../../scripts/testing/shards.ts';

const each = (shards: number) => ({ unit: shards, wire: shards, integration: shards });
const root = path.join(import.meta.dirname, '../../../..');

describe('dealing tests out to processes', () => {
  const files = new Map([
    ['unit' as const, ['a', 'b', 'c', 'd', 'e']],
    ['integration' as const, ['x']],
  ]);

  it('gives every file to one process, the long ones to different ones, in the order of their names', () => {
    const durations = { a: 1, b: 10, c: 1, d: 9, e: 2, x: 5 };
    const { together } = schedule(files, { durations, shards: each(2), alone: [] });
    expect(together).to.deep.equal([
      { title: 'integration', suite: 'integration', files: ['x'], seconds: 5 },
      { title: 'unit 1 of 2', suite: 'unit', files: ['a', 'b', 'c'], seconds: 12 },
      { title: 'unit 2 of 2', suite: 'unit', files: ['d', 'e'], seconds: 11 },
    ]);
  });

  // Tests at the wire went on alone for two minutes, when those of integration and their places were over.
  it('begins with those of integration, in their order, then the longest', () => {
    const { together } = schedule(
      new Map([
        ['unit' as const, ['a']],
        ['wire' as const, ['k', 'l', 'm']],
        ['integration' as const, ['x', 'y']],
      ]),
      { durations: { a: 4, k: 1, l: 9, m: 3, y: 2 }, shards: each(3), alone: [] },
    );
    expect(together.flatMap((shard) => shard.files)).to.deep.equal(['x', 'y', 'l', 'a', 'm', 'k']);
  });

  it('runs what measures the machine after all others, each file by itself', () => {
    const { together, alone } = schedule(files, { durations: {}, shards: each(9), alone: ['c', 'x'] });
    expect(together.flatMap((shard) => shard.files)).to.have.members(['a', 'b', 'd', 'e']);
    expect(alone).to.deep.equal([
      { title: 'c', suite: 'unit', files: ['c'], seconds: 0 },
      { title: 'x', suite: 'integration', files: ['x'], seconds: 0 },
    ]);
  });

  // Two files that share a cluster went to one process, and the other one failed: it had no file to test.
  it('makes no process that is left without a file', () => {
    const { together } = schedule(new Map([['integration' as const, ['x', 'y']]]), {
      durations: { x: 2, y: 1 },
      shards: each(2),
      clusters: () => ['shared'],
    });
    expect(together).to.deep.equal([
      { title: 'integration', suite: 'integration', files: ['x', 'y'], seconds: 3 },
    ]);
  });

  // Fifteen clusters were started for what eleven do, each of which takes three seconds of CPU and more.
  describe('those that take the same clusters', () => {
    const taken: Readonly<Record<string, readonly Clusters[]>> = {
      a: ['bare'],
      b: ['shared'],
      c: ['bare'],
      d: ['shared'],
      e: ['bare', 'shared'],
    };
    const dealt = (durations: Readonly<Record<string, number>>) =>
      schedule(new Map([['integration' as const, Object.keys(taken)]]), {
        durations,
        shards: each(2),
        alone: [],
        clusters: (file) => taken[file] ?? [],
      }).together.map((shard) => shard.files.join(''));

    it('go to the same process, also where another has a little less to do', () => {
      expect(dealt({ a: 100, b: 97, c: 20, d: 19, e: 1 })).to.have.members(['ac', 'bde']);
    });

    it('are dealt out where one process would have too much to do', () => {
      expect(dealt({ a: 250, b: 75, c: 150, d: 150, e: 22 })).to.have.members(['ae', 'bcd']);
    });

    it('are found by what their source asks for', () => {
      const ofFile = (name: string) =>
        clustersOf(readFileSync(path.join(root, `test/integration/${name}.test.ts`), 'utf8'));
      expect(ofFile('worst-routing')).to.deep.equal(['bare']);
      expect(ofFile('mirror')).to.deep.equal(['shared']);
      expect(ofFile('weights')).to.deep.equal(['shared', 'bare']);
      const all = globSync('test/integration/*.test.ts', { cwd: root }).map((file) =>
        clustersOf(readFileSync(path.join(root, file), 'utf8')),
      );
      expect(all.filter((kinds) => kinds.length > 0).length).to.be.above(all.length * 0.8);
    });
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
  for (const { what, suites = all, cores, gigabytes, shards, atOnce } of [
    { what: 'two cores', cores: 2, gigabytes: 16, shards: [2, 8, 4], atOnce: 7 },
    { what: 'one core, because most tests wait', cores: 1, gigabytes: 16, shards: [2, 8, 4], atOnce: 7 },
    { what: 'four cores', cores: 4, gigabytes: 16, shards: [4, 16, 5], atOnce: 11 },
    {
      what: 'many cores, no more than for eight',
      cores: 64,
      gigabytes: 256,
      shards: [8, 32, 10],
      atOnce: 22,
    },
    { what: 'cores without memory for clusters', cores: 8, gigabytes: 7, shards: [8, 32, 2], atOnce: 14 },
    { what: 'hardly any memory', cores: 2, gigabytes: 1, shards: [2, 8, 1], atOnce: 4 },
    {
      what: 'two cores without integration',
      suites: ['unit', 'wire'] as const,
      cores: 2,
      gigabytes: 16,
      shards: [2, 8, 4],
      atOnce: 3,
    },
  ])
    it(`gives each suite its processes on ${what}`, () => {
      const given = defaultShards(suites, { cores, bytes: gigabytes * 2 ** 30 });
      const { unit, wire, integration } = given.shards;
      expect([unit, wire, integration]).to.deep.equal(shards);
      expect(given.atOnce).to.equal(atOnce);
    });

  it('keeps what was measured, but not of files that are gone or take no second', () => {
    const measured = { fresh: 1549, quick: 400, slower: 4000 };
    const kept = recorded({ slower: 3, stays: 2, gone: 9, quick: 7 }, measured, (file) => file !== 'gone');
    expect(kept).to.deep.equal({ fresh: 1.5, slower: 4, stays: 2 });
    expect(Object.keys(kept)).to.deep.equal(['fresh', 'slower', 'stays']);
  });
});

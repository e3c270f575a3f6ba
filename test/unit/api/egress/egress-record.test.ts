import { expect } from 'chai';
import fc from 'fast-check';
import {
  ANY_MEMBER,
  APEX_MEMBER,
  EGRESS_SHARDS,
  newShard,
  RECORD_SELECTOR,
  type RecordEntry,
  readShard,
  shardOf,
  shardOfName,
  shardPatch,
  writeEntry,
} from '../../../../src/api/egress/egress-record.ts';
import { parseSelector, parseSelectorText } from '../../../../src/api/kubernetes/label-selector.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,9}$/);
const key = fc.tuple(name, name).map((parts) => parts.join('/'));
const number = fc.integer({ min: 1, max: 65_535 });
const holder = { mirror: key, port: number };
const gateway = fc.record({
  addresses: fc.array(fc.ipV4(), { minLength: 1, maxLength: 9 }),
  port: number,
  identity: name,
});
const entry: fc.Arbitrary<RecordEntry> = fc.oneof(
  fc.record({ ...holder, freed: fc.nat() }),
  fc.record({ ...holder, member: fc.constant(ANY_MEMBER) }),
  fc.record({ ...holder, member: fc.constant(APEX_MEMBER) }),
  fc.record(
    {
      ...holder,
      member: name,
      export: key,
      link: key,
      cluster: name,
      target: name,
      gateway: fc.option(gateway),
    },
    { requiredKeys: ['mirror', 'port', 'export', 'link', 'cluster', 'target'] },
  ),
);
const entries = fc.dictionary(fc.integer({ min: 10_000, max: 29_999 }).map(String), entry, { maxKeys: 20 });

/** The same with plain prototypes, as a deep comparison wants them. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('the record of egress ports', () => {
  // The controller made its ConfigMaps, and the egress found and read them, each by what it knew itself.
  it('is read as it was written, each port in its shard', () =>
    fc.assert(
      fc.property(entries, (all) => {
        for (let shard = 0; shard < EGRESS_SHARDS; shard++) {
          const own = Object.entries(all).filter(([port]) => shardOf(Number(port)) === shard);
          const data = Object.fromEntries(own.map(([port, one]) => [port, writeEntry(one) ?? null]));
          const made = newShard('linkerd-multicluster', shard, { ...data, '29999': data['29999'] ?? null });
          expect(shardOfName(made.metadata?.name ?? '')).to.equal(shard);
          expect(parseSelector(parseSelectorText(RECORD_SELECTOR)).matches(made.metadata?.labels)).to.equal(
            true,
          );
          const read = [...readShard(shard, made.data)].map(([port, one]) => [String(port), one]);
          expect(plain(read)).to.have.deep.members(plain(own) as unknown[]);
        }
      }),
      { numRuns: 30 },
    ));

  it('is changed only as it was seen, and a free port goes', () => {
    const seen = newShard('mc', 0, { '10000': 'x' });
    const patch = shardPatch(
      { ...seen, metadata: { ...seen.metadata, uid: 'u', resourceVersion: '7' } },
      { '10000': null },
    );
    expect(patch).to.deep.equal({
      metadata: { uid: 'u', resourceVersion: '7', labels: { 'linkspan.dev/record': 'egress-routes' } },
      data: { '10000': null },
    });
  });
});

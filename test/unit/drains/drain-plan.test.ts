import { expect } from 'chai';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';
import { readDrain, writeDrain } from '../../../src/api/failover/failover-drain.ts';
import { FAILOVER_DRAIN } from '../../../src/api/failover/failover-names.ts';
import {
  type DrainObjects,
  type DrainPlace,
  drainOn,
  drainPatch,
  planDrain,
  planUndrain,
  standingDrain,
} from '../../../src/drains/drain-plan.ts';
import { DEFAULT_POLICY } from '../../../src/policy/failover/failover-policy.ts';
import type { ApexGroup } from '../../../src/policy/routing/apex-group.ts';
import { federated, link, NOW, objects } from './drain-objects.ts';

const MINUTE = 60_000;
const WISH = { to: 0, rampMs: 5 * MINUTE, lastsMs: 120 * MINUTE, drill: false };
const plan = (where: DrainPlace, given = objects()) => planDrain(given, where, WISH, NOW);
const DRAIN = { to: 0, start: NOW, rampMs: 5 * MINUTE, until: NOW + 120 * MINUTE, drill: false };
const TEXT = writeDrain(DRAIN);
const codeOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return error instanceof LinkspanError ? error.code : error;
  }
  return undefined;
};

/** A backend of a rule. */
const backend = (name: string, ready: number) => ({
  name,
  tier: 0,
  weight: 1,
  facts: {
    path: 'alive' as const,
    ready,
    known: ready,
    expected: 1,
    usableSince: ready > 0 ? 0 : null,
    flaps: 0,
    lastWord: NOW,
  },
});
const owner = (name = 'checkout', annotations: Record<string, string> = {}) => ({
  metadata: { name, namespace: 'shop', uid: `uid-${name}`, resourceVersion: '3', annotations },
});
/** A rule of a Service without selector, with a federated backend in `north` besides. */
const rule = (backends: ReturnType<typeof backend>[], service = 'checkout'): ApexGroup => ({
  namespace: 'shop',
  service,
  owner: owner(),
  group: {
    backends,
    policy: DEFAULT_POLICY,
    placement: { places: [], unknown: [], leftOut: [] },
    weighing: 'exact',
  },
  demand: 'unheard',
  clusters: new Map([
    ['web', 'local'],
    ['web-west', 'west'],
    ['api-west', 'west'],
    ['west', 'local'],
  ]),
  within: new Map([['north', 'shop/web-federated']]),
});

// Drains were read from Links, and nothing wrote them.
describe('the plan of a drain', () => {
  it('writes one annotation of the Link that was read', () => {
    const { write, drain, effects, findings } = plan({ cluster: 'west' });
    expect(drain).to.deep.equal(DRAIN);
    expect(drainPatch(write)).to.deep.equal({
      metadata: { uid: 'uid-west', resourceVersion: '7', annotations: { [FAILOVER_DRAIN]: TEXT } },
    });
    expect(write.kind).to.equal('links');
    expect(effects.map(({ service, share, shareThen }) => [service, share, shareThen])).to.deep.equal([
      ['shop/web-federated', 0.5, 0],
    ]);
    expect(findings.map(({ code }) => code)).to.deep.equal(['DRAIN_CAPACITY']);
  });

  it('of one Service writes on that, and looks at that alone', () => {
    for (const service of ['shop/web', 'shop/web-federated']) {
      const { write, effects } = plan({ cluster: 'north', service });
      expect(write.kind).to.equal('services');
      expect(write.annotation).to.equal('drain.linkspan.dev/north');
      expect(write.on.metadata?.name).to.equal('web-federated');
      expect(effects.map(({ service: name }) => name)).to.deep.equal(['shop/web-federated']);
    }
    expect(plan({ cluster: 'north' }).findings.map(({ code }) => code)).to.deep.equal([
      'DRAIN_SOLE_BACKEND',
      'DRAIN_CAPACITY',
    ]);
  });

  // A split to a mirror was no group: a drain of the only other cluster that could serve it was called safe.
  it('looks at Services without selector by the clusters of their mirrors', () => {
    const given = (ready: number) =>
      objects({ services: [], slices: [], apexes: [rule([backend('web', ready), backend('web-west', 1)])] });
    const codes = (ready: number) => plan({ cluster: 'west' }, given(ready)).findings.map(({ code }) => code);
    const [effect] = plan({ cluster: 'west' }, given(9)).effects;
    expect(effect).to.include({ service: 'shop/checkout', share: 0.5, shareThen: 0 });
    expect(codes(0)).to.deep.equal(['DRAIN_SOLE_BACKEND']);
  });

  describe('of a Service without selector', () => {
    const service = 'shop/checkout';
    const all = [backend('web', 9), backend('web-west', 9), backend('api-west', 9), backend('west', 9)];
    const given = (...more: ReturnType<typeof rule>[]) =>
      objects({ apexes: [rule(all, 'checkout rule 1'), rule(all.slice(0, 2), 'checkout rule 2'), ...more] });

    it('writes on that, and looks at all of its rules and at nothing else', () => {
      const other = { ...rule(all, 'cart'), owner: owner('cart') };
      const { write, effects, findings } = plan({ cluster: 'west', service }, given(other));
      expect(drainPatch(write)).to.deep.equal({
        metadata: {
          uid: 'uid-checkout',
          resourceVersion: '3',
          annotations: { 'drain.linkspan.dev/west': TEXT },
        },
      });
      expect(write).to.deep.include({ kind: 'services', on: owner() });
      // Two mirrors of one cluster count both, and a Service that is called as the cluster does not.
      expect(effects.map(({ service: name, share, shareThen }) => [name, share, shareThen])).to.deep.equal([
        ['shop/checkout rule 1', 0.5, 0],
        ['shop/checkout rule 2', 0.5, 0],
      ]);
      expect(findings.map(({ code }) => code)).to.deep.equal(['DRAIN_CAPACITY']);
    });

    it('can be of the pods here', () => {
      const { write, effects } = plan({ cluster: 'local', service }, given());
      expect(write.annotation).to.equal('drain.linkspan.dev/local');
      expect(effects.map(({ share, shareThen }) => [share, shareThen])).to.deep.equal([
        [0.5, 0],
        [0.5, 0],
      ]);
    });

    it('is refused where nobody else can serve', () => {
      const sole = objects({ apexes: [rule([backend('web', 0), backend('web-west', 9)])] });
      expect(plan({ cluster: 'west', service }, sole).findings.map(({ code }) => code)).to.deep.equal([
        'DRAIN_SOLE_BACKEND',
      ]);
    });

    it('is refused where no backend leads there, and says where the cluster is', () => {
      const refusal = (cluster: string) => () => plan({ cluster, service }, given());
      expect(refusal('south')).to.throw(LinkspanError, 'no backend of shop/checkout leads to south');
      expect(refusal('north')).to.throw(LinkspanError, 'only within shop/web-federated');
      expect(codeOf(refusal('south'))).to.equal('DRAIN_NO_MEMBER');
      expect(codeOf(refusal('north'))).to.equal('DRAIN_NO_MEMBER');
    });

    it('comes before the federated Service of that name, and no rule of a federated one does', () => {
      const named = (name: string) => ({ ...rule(all, name), owner: owner(name) });
      const { write } = plan({ cluster: 'west', service: 'shop/web' }, given(named('web')));
      expect(write.on.metadata?.name).to.equal('web');
      const group = { ...rule(all, 'web-federated rule 1'), owner: federated('web', ['west', 'north']) };
      const { effects } = plan({ cluster: 'west', service: 'shop/web' }, given(group));
      expect(effects.map(({ service: name }) => name)).to.deep.equal(['shop/web-federated']);
    });

    // Its rules led elsewhere meanwhile: nobody could end it before its time.
    it('is ended where the cluster serves nothing of it any more, and begun nowhere there', () => {
      const annotations = { 'drain.linkspan.dev/south': TEXT };
      const there = objects({ apexes: [{ ...rule(all), owner: owner('checkout', annotations) }] });
      const place = { cluster: 'south', service };
      expect(planUndrain(there, place, NOW + MINUTE)?.drain.until).to.equal(NOW + MINUTE);
      expect(codeOf(() => plan(place, there))).to.equal('DRAIN_NO_MEMBER');
      expect(codeOf(() => planUndrain(there, { ...place, cluster: 'north' }, NOW))).to.equal(
        'DRAIN_NO_MEMBER',
      );
    });

    // With its rules went the only way to end it, until they came again, and the drain with them.
    it('is ended where it leads nowhere any more, and begun nowhere there', () => {
      const named = owner('checkout', { 'drain.linkspan.dev/west': TEXT });
      const place = { cluster: 'west', service };
      expect(planUndrain(objects({ named }), place, NOW + MINUTE)).to.deep.include({
        on: named,
        kind: 'services',
      });
      expect(codeOf(() => plan(place, objects({ named })))).to.equal('DRAIN_NO_MEMBER');
      expect(codeOf(() => planUndrain(objects({ named: owner() }), place, NOW))).to.equal('DRAIN_NO_MEMBER');
      const unread = ['httproutes.gateway.networking.k8s.io: forbidden'];
      expect(() => plan(place, objects({ named, unread }))).to.throw(LinkspanError, unread[0]);
    });

    it('is refused where rules that may lead there could not be read', () => {
      const unread = ['httproutes.gateway.networking.k8s.io: forbidden'];
      const codes = (where: DrainPlace, more: Partial<DrainObjects> = {}) =>
        plan(where, { ...given(), ...more }).findings.map(({ code }) => code);
      expect(codes({ cluster: 'west', service }, { unread })).to.include('DRAIN_UNREAD');
      expect(codes({ cluster: 'west' }, { unread })).to.include('DRAIN_UNREAD');
      expect(codes({ cluster: 'west' })).not.to.include('DRAIN_UNREAD');
      expect(codes({ cluster: 'west', service: 'shop/web' }, { unread })).not.to.include('DRAIN_UNREAD');
    });

    it('is read again from what it stands on', () => {
      const { write } = plan({ cluster: 'west', service }, given());
      expect(drainOn(owner('checkout', { 'drain.linkspan.dev/west': TEXT }), write)).to.deep.equal(DRAIN);
      expect(drainOn(owner(), write)).to.equal(undefined);
      expect(drainOn(undefined, write)).to.equal(undefined);
    });

    it('is ended there', () => {
      const drained = { ...rule(all), owner: owner('checkout', { 'drain.linkspan.dev/west': TEXT }) };
      const there = objects({ apexes: [drained] });
      expect(standingDrain(there, { cluster: 'west', service })).to.deep.equal(DRAIN);
      const at = NOW + MINUTE;
      expect(planUndrain(there, { cluster: 'west', service }, at)).to.deep.include({
        annotation: 'drain.linkspan.dev/west',
        kind: 'services',
      });
    });
  });

  it('goes on from the drain that is there, and says so', () => {
    const before = { ...DRAIN, start: NOW - MINUTE, by: 'ada' };
    const given = objects({ links: [link('west', { [FAILOVER_DRAIN]: writeDrain(before) }), link('north')] });
    expect(plan({ cluster: 'west' }, given)).to.deep.include({
      before,
      drain: { ...DRAIN, start: NOW - MINUTE },
    });
    const over = { ...DRAIN, start: NOW - 60 * MINUTE, until: NOW - 30 * MINUTE };
    const ended = objects({ links: [link('west', { [FAILOVER_DRAIN]: writeDrain(over) }), link('north')] });
    expect(plan({ cluster: 'west' }, ended)).to.deep.include({ before: undefined, drain: DRAIN });
  });

  it('counts the clusters that are drained, and this one', () => {
    const drained = { [FAILOVER_DRAIN]: TEXT };
    const codes = (where: DrainPlace, ...links: ReturnType<typeof link>[]) =>
      plan(where, objects({ links })).findings.map(({ code }) => code);
    expect(codes({ cluster: 'west' }, link('west'), link('north', drained))).to.include('DRAIN_TOO_MANY');
    expect(
      codes({ cluster: 'west' }, link('west'), link('north', drained), link('dr')),
      'two of four',
    ).not.to.include('DRAIN_TOO_MANY');
    expect(
      codes({ cluster: 'west', service: 'shop/web' }, link('west'), link('north', drained)),
      'one Service',
    ).not.to.include('DRAIN_TOO_MANY');
  });

  it('stands on the oldest of several Links of one cluster', () => {
    const [older, younger] = [link('west', {}, 1), link('west', {}, 2)];
    const given = objects({ links: [{ ...younger, metadata: { ...younger.metadata, name: 'b' } }, older] });
    expect(plan({ cluster: 'west' }, given).write.on.metadata?.name).to.equal('west');
  });

  // It stood on whichever had been listed first, and whoever reads them may take the other.
  it('stands on the one that everybody reads where Links are of one age', () => {
    const named = (name: string) => ({ ...link('west'), metadata: { ...link('west').metadata, name } });
    for (const names of [
      ['west', 'also-west'],
      ['also-west', 'west'],
    ])
      expect(
        plan({ cluster: 'west' }, objects({ links: names.map(named) })).write.on.metadata?.name,
      ).to.equal('also-west');
  });

  it('is refused where there is nothing to drain', () => {
    expect(codeOf(() => plan({ cluster: 'south' }))).to.equal('LINK_NOT_FOUND');
    expect(codeOf(() => plan({ cluster: 'local' }))).to.equal('USAGE');
    expect(codeOf(() => plan({ cluster: 'west', service: 'shop/none' }))).to.equal('DRAIN_NO_MEMBER');
    expect(codeOf(() => plan({ cluster: 'west', service: 'shop/api' }))).to.equal('DRAIN_NO_MEMBER');
  });

  it('ends what stands there, once', () => {
    const given = objects({ links: [link('west', { [FAILOVER_DRAIN]: TEXT })] });
    const at = NOW + 30 * MINUTE;
    const write = planUndrain(given, { cluster: 'west' }, at);
    expect(write?.drain).to.deep.equal({ ...DRAIN, until: at });
    const text = write === undefined ? undefined : writeDrain(write.drain);
    const after = objects({ links: [link('west', { [FAILOVER_DRAIN]: text ?? '' })] });
    expect(planUndrain(after, { cluster: 'west' }, at + 1000)).to.equal(undefined);
    expect(planUndrain(objects(), { cluster: 'west' }, at)).to.equal(undefined);
    const service = federated('web', ['west'], { 'drain.linkspan.dev/west': TEXT });
    const one = { cluster: 'west', service: 'shop/web' };
    expect(planUndrain(objects({ services: [service] }), one, at)?.kind).to.equal('services');
    expect(standingDrain(objects({ services: [service] }), one)).to.deep.equal(readDrain(TEXT));
  });
});

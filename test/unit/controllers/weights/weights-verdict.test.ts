import { expect } from 'chai';
import {
  FAILOVER_BASE_WEIGHTS,
  FAILOVER_CONTROLLED_BY,
  FAILOVER_POLICY,
  FAILOVER_PRIMARY_SERVICE,
  FAILOVER_TIERS,
} from '../../../../src/api/failover/failover-names.ts';
import type { WeightedObject } from '../../../../src/policy/weights/weighted-object.ts';
import { MAX_OVERWRITTEN } from '../../../../src/controllers/weights/weights-verdict.ts';
import {
  healthy,
  HTTP_ROUTE,
  judged,
  managedRoute,
  managedSplit,
  weightsOf,
  written,
} from '../../../support/weighted.ts';

describe('the weights of an object with the label of failover', () => {
  const split = (more: Parameters<typeof managedSplit>[1] = {}) =>
    managedSplit({ web: 1, 'web-west': 0 }, more);

  it('are for the first backend while it can bear all, whatever its author wrote', () => {
    const object = managedSplit({ web: 5, 'web-west': 5 });
    const after = written(object, judged(object, { web: healthy(3), 'web-west': healthy(3) }));
    expect(weightsOf(after)).to.deep.equal({ web: 10_000, 'web-west': 0 });
  });

  it('are for the primary service that the annotation names', () => {
    const object = split({ annotations: { [FAILOVER_PRIMARY_SERVICE]: 'web-west' } });
    const after = written(object, judged(object, { web: healthy(3), 'web-west': healthy(3) }));
    expect(weightsOf(after)).to.deep.equal({ web: 0, 'web-west': 10_000 });
  });

  it('go to the others when the primary has no endpoint', () => {
    const object = split();
    const after = written(object, judged(object, { web: healthy(0, 3), 'web-west': healthy(3) }));
    expect(weightsOf(after)).to.deep.equal({ web: 0, 'web-west': 10_000 });
  });

  it('are graded where the primary has too few endpoints, as for everybody else', () => {
    const object = split();
    const after = written(object, judged(object, { web: healthy(5, 10), 'web-west': healthy(10) }));
    expect(weightsOf(after)).to.deep.equal({ web: 7000, 'web-west': 3000 });
  });

  it('follow the tiers and the policy that stand on it', () => {
    const annotations = { [FAILOVER_TIERS]: 'web, web-west=3', [FAILOVER_POLICY]: 'max-share=web-west:50%' };
    const object = split({ annotations });
    const after = written(object, judged(object, { web: healthy(3), 'web-west': healthy(3) }));
    expect(weightsOf(after)).to.deep.equal({ web: 5000, 'web-west': 5000 });
  });

  it('are never all 0: when nobody is ready the least bad one has them', () => {
    // linkerd2#10533: all weights 0, and Linkerd's proxy ends with a panic.
    const object = split();
    const after = written(object, judged(object, { web: healthy(0, 3), 'web-west': healthy(0, 3) }));
    const sum = Object.values(weightsOf(after)).reduce((a, b) => Number(a) + Number(b), 0);
    expect(sum).to.equal(10_000);
  });

  it('leave a cluster that somebody drains', () => {
    const object = managedSplit({ 'web-west': 1, web: 0 });
    const drain = { to: 0, start: 0, rampMs: 0, until: Number.MAX_SAFE_INTEGER, drill: false };
    const backendOf = (service: string) => ({
      facts: healthy(3),
      drains: service === 'shop/web-west' ? [drain] : undefined,
    });
    const after = written(object, judged(object, {}, { backendOf }));
    expect(weightsOf(after)).to.deep.equal({ 'web-west': 0, web: 10_000 });
  });

  it('of a route are for each rule by itself, with a standby that sidecars can use by themselves', () => {
    const refs = (...names: string[]) => names.map((name) => ({ name, port: 80 }));
    const rules = [
      { matches: [{ path: { value: '/a' } }], backendRefs: refs('web', 'web-west') },
      { backendRefs: refs('web-west') },
      { backendRefs: refs('web-west', 'web') },
    ];
    const object = managedRoute(rules);
    const facts = { web: healthy(3), 'web-west': healthy(3) };
    const after = written(object, judged(object, facts, { kind: HTTP_ROUTE }), HTTP_ROUTE);
    const of = (after.spec as { rules: { matches?: unknown; backendRefs: { weight?: number }[] }[] }).rules;
    expect(of.map(({ backendRefs }) => backendRefs.map(({ weight }) => weight))).to.deep.equal([
      [1_000_000, 1],
      [undefined],
      [1_000_000, 1],
    ]);
    expect(of[0]?.matches).to.deep.equal(rules[0]?.matches);
  });

  it('are put back when the label goes, as their author wrote them', () => {
    for (const weights of [
      { web: 90, 'web-west': 10 },
      { web: '500m', 'web-west': '1' },
    ]) {
      const object = managedSplit(weights);
      const managed = written(object, judged(object, { web: healthy(0, 3), 'web-west': healthy(3) }));
      expect(weightsOf(managed)).to.deep.equal({ web: 0, 'web-west': 10_000 });
      const released = { ...managed, metadata: { ...managed.metadata, labels: {} } };
      const after = written(released, judged(released, {}));
      expect(weightsOf(after)).to.deep.equal(weights);
      expect(after.metadata?.annotations).to.deep.equal({});
    }
  });

  it('that their author changes meanwhile are what is put back', () => {
    const object = managedSplit({ web: 90, 'web-west': 10 });
    const facts = { web: healthy(3), 'web-west': healthy(3) };
    const managed = written(object, judged(object, facts));
    const spec = {
      service: 'web',
      backends: [
        { service: 'web', weight: 60 },
        { service: 'web-west', weight: 40 },
      ],
    };
    const edited = { ...managed, spec };
    const again = written(edited, judged(edited, facts));
    expect(weightsOf(again)).to.deep.equal({ web: 10_000, 'web-west': 0 });
    const released = { ...again, metadata: { ...again.metadata, labels: {} } };
    expect(weightsOf(written(released, judged(released, facts)))).to.deep.equal({ web: 60, 'web-west': 40 });
  });

  it('are not written again when they are there', () => {
    const object = split();
    const facts = { web: healthy(3), 'web-west': healthy(3) };
    const once = written(object, judged(object, facts));
    expect(written(once, judged(once, facts))).to.equal(once);
  });

  it('stay as they are where anything in a list is no Service, or one is there twice', () => {
    for (const backendRefs of [
      [{ name: 'web' }, { kind: 'ConfigMap', name: 'web-west' }],
      [
        { name: 'web', port: 80 },
        { name: 'web', port: 81 },
      ],
      [{ name: 'web', weight: -1 }, { name: 'web-west' }],
    ]) {
      const object = managedRoute([{ backendRefs }]);
      const verdict = judged(object, {}, { kind: HTTP_ROUTE });
      expect(written(object, verdict, HTTP_ROUTE).spec).to.deep.equal(object.spec);
    }
  });
});

// What is kept is all that knows what an author wrote: it was lost with the first list that could not be
// managed any more, and went with a rule's number.
describe('what the author of weights wrote', () => {
  const facts = { web: healthy(0, 3), 'web-west': healthy(3), api: healthy(0, 3), 'api-west': healthy(3) };
  const refs = (...all: (readonly [name: string, weight: number])[]) =>
    all.map(([name, weight]) => ({ name, port: 80, weight }));
  type Rules = { path?: string; backendRefs: object[] }[];
  const rulesOf = (object: WeightedObject) => (object.spec as { rules: Rules }).rules;
  const weightsIn = (object: WeightedObject) =>
    rulesOf(object).map(({ backendRefs }) =>
      (backendRefs as { weight: number }[]).map(({ weight }) => weight),
    );
  const withRules = (object: WeightedObject, rules: readonly object[]): WeightedObject => ({
    ...object,
    spec: { ...(object.spec as object), rules },
  });
  const looked = (object: WeightedObject) =>
    written(object, judged(object, facts, { kind: HTTP_ROUTE }), HTTP_ROUTE);
  const released = (object: WeightedObject) =>
    looked({ ...object, metadata: { ...object.metadata, labels: {} } });
  const managed = () =>
    looked(
      managedRoute([
        { name: 'a', backendRefs: refs(['web', 90], ['web-west', 10]) },
        { name: 'b', backendRefs: refs(['web', 60], ['web-west', 40]) },
      ]),
    );

  it('goes with its rule when others are put before it, or taken away', () => {
    const [a = {}, b = {}] = rulesOf(managed());
    const own = { name: 'new', backendRefs: refs(['api', 7], ['api-west', 3]) };
    const moved = looked(withRules(managed(), [own, b, a]));
    expect(weightsIn(moved)).to.deep.equal([
      [0, 1_000_000],
      [0, 1_000_000],
      [0, 1_000_000],
    ]);
    expect(weightsIn(released(moved))).to.deep.equal([
      [7, 3],
      [60, 40],
      [90, 10],
    ]);
    expect(weightsIn(released(withRules(managed(), [b])))).to.deep.equal([[60, 40]]);
  });

  it('is put back in a list that cannot be managed any more, and stays kept of the others', () => {
    const [a = { backendRefs: [] }, b = {}] = rulesOf(managed());
    const bucket = { kind: 'Bucket', name: 'x', weight: 5 };
    const edited = looked(withRules(managed(), [{ ...a, backendRefs: [...a.backendRefs, bucket] }, b]));
    expect(weightsIn(edited)).to.deep.equal([
      [90, 10, 5],
      [0, 1_000_000],
    ]);
    expect(weightsIn(released(edited))).to.deep.equal([
      [90, 10, 5],
      [60, 40],
    ]);
  });

  // The one that was left had our weight of 0, and every request failed.
  it('is put back where one backend is left', () => {
    const [a = { backendRefs: [] }, b = {}] = rulesOf(managed());
    const edited = looked(withRules(managed(), [{ ...a, backendRefs: a.backendRefs.slice(0, 1) }, b]));
    expect(weightsIn(edited)).to.deep.equal([[90], [0, 1_000_000]]);
  });

  it('stays kept while no weights can be written', () => {
    const object = managed();
    const annotations = {
      ...object.metadata?.annotations,
      [FAILOVER_POLICY]: 'max-share=web:0%,web-west:0%',
    };
    const refused = looked({ ...object, metadata: { ...object.metadata, annotations } });
    expect(weightsIn(released(refused))).to.deep.equal([
      [90, 10],
      [60, 40],
    ]);
  });

  it('is kept of so many rules as there is room for, and no weights are written in others', () => {
    const name = (kind: string, n: number) => `${kind}-${n}-${'x'.repeat(40)}`;
    const rules = Array.from({ length: 12 }, (_, rule) => ({
      name: `${rule}`,
      backendRefs: refs(...Array.from({ length: 30 }, (__, n) => [name(`${rule}`, n), n + 1] as const)),
    }));
    const object = managedRoute(rules);
    const verdict = judged(object, {}, { kind: HTTP_ROUTE });
    const after = written(object, verdict, HTTP_ROUTE);
    expect(weightsIn(after)[0]).not.to.deep.equal(weightsIn(object)[0]);
    expect(weightsIn(after)[11]).to.deep.equal(weightsIn(object)[11]);
    expect(verdict)
      .to.have.property('problems')
      .that.includes('rule 12: there is no room to keep what its author wrote');
    expect(weightsIn(released(after))).to.deep.equal(weightsIn(object));
  });

  // Whoever may write routes in one namespace learnt how many endpoints Services of others have, and could
  // have the controller watch any number of namespaces.
  it('stays where a list leads to another namespace', () => {
    const backendRefs = [{ name: 'web' }, { name: 'web', namespace: 'other' }];
    const verdict = judged(managedRoute([{ backendRefs }]), {}, { kind: HTTP_ROUTE });
    expect(verdict).to.deep.include({
      wanted: [],
      problems: ['rule 1: the Service other/web is in another namespace'],
    });
  });
});

describe('objects that are left alone', () => {
  const facts = { web: healthy(0, 3), 'web-west': healthy(3) };

  it('are those that nobody has labelled', () => {
    const object = managedSplit({ web: 1, 'web-west': 0 }, { controller: '' });
    expect(judged(object, facts)).to.deep.equal({ action: 'ignore' });
  });

  it('are those whose label names somebody else', () => {
    const object = managedSplit({ web: 1 }, { controller: 'another' });
    expect(judged(object, facts)).to.include({ action: 'leave', reason: 'OtherController' });
    expect(judged(object, facts, { controllers: new Set(['linkspan', 'another']) })).to.include({
      action: 'write',
    });
  });

  it("are linkerd-failover's own while it runs, and while nobody knows whether it does", () => {
    const object = managedSplit({ web: 1, 'web-west': 0 }, { controller: 'linkerd-failover' });
    expect(judged(object, facts, { linkerdFailover: true })).to.include({
      action: 'leave',
      reason: 'OtherController',
    });
    expect(judged(object, facts, { linkerdFailover: undefined })).to.include({ action: 'leave' });
    expect(judged(object, facts, { linkerdFailover: false })).to.include({ action: 'write' });
  });

  it('are those whose weights Flagger or Argo Rollouts wrote last', () => {
    // The plugin for Gateway API, by which Rollouts move routes of Linkerd's, was not known: two wrote.
    for (const writer of ['flagger', 'rollouts-controller', 'gatewayAPI']) {
      const object = managedSplit({ web: 90, 'web-west': 10 }, { writer });
      expect(judged(object, facts), writer).to.include({ action: 'leave', reason: 'OtherController' });
    }
    expect(judged(managedSplit({ web: 90, 'web-west': 10 }, { writer: 'kubectl-edit' }), facts)).to.include({
      action: 'write',
    });
  });

  it('are those that a Canary or a Rollout owns, whoever wrote their weights last', () => {
    const of = (apiVersion: string, kind: string, controller = true) => {
      const object = managedSplit({ web: 90, 'web-west': 10 }, { writer: 'kubectl-edit' });
      const ownerReferences = [{ apiVersion, kind, name: 'web', uid: '1', controller }];
      return judged({ ...object, metadata: { ...object.metadata, ownerReferences } }, facts);
    };
    for (const [version, kind] of [
      ['flagger.app/v1beta1', 'Canary'],
      ['argoproj.io/v1alpha1', 'Rollout'],
    ] as const)
      expect(of(version, kind), kind).to.include({ action: 'leave', reason: 'OtherController' });
    expect(of('argoproj.io/v1alpha1', 'Application')).to.include({ action: 'write' });
    expect(of('flagger.app/v1beta1', 'Canary', false)).to.include({ action: 'write' });
  });

  it('are those that somebody writes over again and again', () => {
    const object = managedSplit({ web: 1, 'web-west': 0 }, { writer: 'argocd-controller' });
    const verdict = judged(object, facts, { overwritten: MAX_OVERWRITTEN });
    expect(verdict).to.deep.equal({
      action: 'leave',
      reason: 'OtherController',
      message: `argocd-controller has put its own weights back ${MAX_OVERWRITTEN} times`,
    });
  });

  it('keep what is not readable of what was kept: nothing is put back that nobody wrote', () => {
    const object = managedSplit(
      { web: 3, 'web-west': 4 },
      { annotations: { [FAILOVER_BASE_WEIGHTS]: 'spoilt' } },
    );
    const released = {
      ...object,
      metadata: { ...object.metadata, labels: { [FAILOVER_CONTROLLED_BY]: '' } },
    };
    expect(weightsOf(written(released, judged(released, {})))).to.deep.equal({ web: 3, 'web-west': 4 });
  });
});

import { expect } from 'chai';
import fc from 'fast-check';
import type { KnownPort } from '../../../../src/policy/routing/route-backends.ts';
import {
  MAX_REFERENCES,
  type RoutingFacts,
  serviceRouting,
} from '../../../../src/policy/routing/service-routing.ts';
import { routeOf, routingFacts } from '../../../support/routing-facts.ts';

const SPLIT = {
  name: 'canary',
  created: 0,
  service: 'web',
  backends: [
    { service: 'web-a', weight: 90 },
    { service: 'web-b', weight: 10 },
  ],
};
const to = (name: string, weight = 1, more: object = {}) => ({ name, port: 80, weight, ...more });
const ruleTo = (name: string, ...matches: object[]) => ({
  ...(matches.length === 0 ? {} : { matches }),
  backendRefs: [to(name)],
});

/** Weights by Service of the rule with this index. */
function weights(facts: RoutingFacts, rule = 0): Record<string, number> | undefined {
  const found = serviceRouting(facts).routing?.rules[rule];
  return found && Object.fromEntries(found.backends.map(({ service, weight }) => [service, weight] as const));
}

const reasons = (facts: RoutingFacts) =>
  serviceRouting(facts).verdicts.map(({ route, accepted, resolved }) => [
    `${route.kind} ${route.name}`,
    accepted.reason,
    resolved.reason,
  ]);

describe('how the requests for a Service are routed', () => {
  it('is not at all where nobody says anything', () => {
    expect(serviceRouting(routingFacts())).to.deep.equal({ verdicts: [], references: 0 });
  });

  describe('by a TrafficSplit', () => {
    it('is by its weights, raw connections included', () => {
      const { routing } = serviceRouting(routingFacts({ splits: [SPLIT] }));
      expect(routing?.rules[0]?.backends).to.deep.equal([
        { namespace: 'demo', service: 'web-a', port: 80, weight: 90 },
        { namespace: 'demo', service: 'web-b', port: 80, weight: 10 },
      ]);
      expect(routing?.raw).to.equal(0);
    });

    it('leaves out weights of 0, and is none where all are 0, as with Linkerd', () => {
      const zero = {
        ...SPLIT,
        backends: [
          { service: 'web-a', weight: 0 },
          { service: 'web-b', weight: 3 },
        ],
      };
      expect(weights(routingFacts({ splits: [zero] }))).to.deep.equal({ 'web-b': 3 });
      const none = { ...SPLIT, backends: [{ service: 'web-a', weight: 0 }] };
      expect(serviceRouting(routingFacts({ splits: [none] })).routing).to.equal(undefined);
    });

    it('may refuse what a backend that cannot be used would get', () => {
      const { routing } = serviceRouting(routingFacts({ splits: [{ ...SPLIT, failUnavailable: true }] }));
      expect(routing?.rules[0]?.failUnavailable).to.equal(true);
    });

    it('is by the oldest of several, then by name', () => {
      const other = { ...SPLIT, name: 'b', created: 1, backends: [{ service: 'web-c', weight: 1 }] };
      const same = { ...other, name: 'a', backends: [{ service: 'web-d', weight: 1 }] };
      expect(weights(routingFacts({ splits: [other, SPLIT] }))).to.have.keys('web-a', 'web-b');
      expect(weights(routingFacts({ splits: [other, same] }))).to.have.keys('web-d');
    });
  });

  // Linkerd's order: a profile with routes or overrides, routes, a split (linkerd2-proxy http/logical).
  describe('where several say something', () => {
    const routes = [routeOf({ rules: [ruleTo('web-r')] })];
    const override = { namespace: 'demo', service: 'web-o', weight: 1 };
    const everything = { routes, splits: [SPLIT] };

    it('is by a profile with overrides first, and routes are told so', () => {
      const facts = routingFacts({ ...everything, profile: { overrides: [override], hasRoutes: false } });
      expect(weights(facts)).to.deep.equal({ 'web-o': 1 });
      expect(reasons(facts)).to.deep.equal([['HTTPRoute route', 'Overridden', 'ResolvedRefs']]);
    });

    it('is by a profile with routes only, which leads to the Service itself', () => {
      const profile = { overrides: [], hasRoutes: true };
      expect(serviceRouting(routingFacts({ ...everything, profile })).routing).to.equal(undefined);
    });

    it('is by routes where the profile says nothing, then by the split', () => {
      const profile = { overrides: [], hasRoutes: false };
      expect(weights(routingFacts({ ...everything, profile }))).to.deep.equal({ 'web-r': 1 });
      expect(weights(routingFacts({ splits: [SPLIT], profile }))).to.have.keys('web-a', 'web-b');
    });

    it('is by the split where routes are not to be followed', () => {
      const facts = routingFacts({ ...everything, follow: 'profile' });
      expect(weights(facts)).to.have.keys('web-a', 'web-b');
      expect(reasons(facts)).to.deep.equal([]);
    });

    it('is by the split where no route is accepted', () => {
      const broken = routeOf({
        rules: [{ filters: [{ type: 'RequestMirror' }], backendRefs: [to('web-r')] }],
      });
      const facts = routingFacts({ splits: [SPLIT], routes: [broken] });
      expect(weights(facts)).to.have.keys('web-a', 'web-b');
      expect(reasons(facts)).to.deep.equal([['HTTPRoute route', 'UnsupportedValue', 'ResolvedRefs']]);
    });
  });

  describe('by overrides', () => {
    const profile = (overrides: readonly object[]) =>
      ({ profile: { overrides, hasRoutes: false } }) as Partial<RoutingFacts>;

    it('is at their own ports', () => {
      const override = { namespace: 'demo', service: 'web-a', port: 8080, weight: 1 };
      const { routing } = serviceRouting(routingFacts(profile([override])));
      expect(routing?.rules[0]?.backends).to.deep.equal([override]);
    });

    // Whoever may write a profile could else lead clients of other clusters to any Service of the cluster.
    it('reaches other namespaces only where these allow it', () => {
      const foreign = profile([{ namespace: 'secret', service: 'vault', weight: 1 }]);
      const invalid = serviceRouting(routingFacts(foreign)).routing?.rules[0]?.backends[0]?.invalid;
      expect(invalid).to.contain('no ReferenceGrant');
      const granted: RoutingFacts['granted'] = ({ group, kind, namespace }, service) =>
        `${group} ${kind} ${namespace} ${service.namespace}/${service.name}` ===
        'linkerd.io ServiceProfile demo secret/vault';
      const allowed = serviceRouting(routingFacts({ ...foreign, granted })).routing;
      expect(allowed?.rules[0]?.backends[0]).not.to.have.property('invalid');
    });
  });

  describe('by routes', () => {
    it('is to the Service itself where a rule names no backend', () => {
      expect(weights(routingFacts({ routes: [routeOf({ rules: [{}] })] }))).to.deep.equal({ web: 1 });
    });

    it('is by weights, of which 0 gets nothing', () => {
      const routes = [routeOf({ rules: [{ backendRefs: [to('a', 9), to('b'), to('c', 0)] }] })];
      expect(weights(routingFacts({ routes }))).to.deep.equal({ a: 9, b: 1 });
      const all0 = [routeOf({ rules: [{ backendRefs: [to('a', 0)] }] })];
      // No backend: 500, as the kind says.
      expect(weights(routingFacts({ routes: all0 }))).to.deep.equal({});
    });

    it('counts only routes whose parent is this port', () => {
      const parent = (ref: object) => routeOf({ parentRefs: [ref], rules: [ruleTo('a')] });
      const service = { group: '', kind: 'Service', name: 'web' };
      const table: readonly (readonly [object, boolean])[] = [
        [service, true],
        [{ ...service, group: 'core' }, true],
        [{ ...service, port: 80 }, true],
        [{ ...service, port: 81 }, false],
        [{ ...service, sectionName: 'http' }, true],
        [{ ...service, sectionName: 'grpc' }, false],
        [{ ...service, namespace: 'other' }, false],
        [{ ...service, name: 'api' }, false],
        [{ kind: 'Service', name: 'web' }, false],
        [{ name: 'web' }, false],
      ];
      for (const [ref, counts] of table) {
        const { routing } = serviceRouting(routingFacts({ portName: 'http', routes: [parent(ref)] }));
        expect(routing !== undefined, JSON.stringify(ref)).to.equal(counts);
      }
    });

    // A route of another namespace is for that namespace's own clients (GEP-1324).
    it('counts routes of other namespaces for clients of these alone', () => {
      const parentRefs = [{ group: '', kind: 'Service', name: 'web', namespace: 'demo' }];
      const consumer = routeOf({ namespace: 'shop', parentRefs, rules: [ruleTo('theirs', {})] });
      const producer = routeOf({ rules: [ruleTo('ours')] });
      const granted = () => true;
      const found = (clientNamespace?: string) =>
        weights(routingFacts({ routes: [consumer, producer], granted, clientNamespace }));
      expect(found()).to.deep.equal({ ours: 1 });
      expect(found('shop')).to.deep.equal({ theirs: 1 });
      expect(found('elsewhere')).to.deep.equal({ ours: 1 });
    });

    it('is by GRPCRoutes where there are routes of both kinds (GEP-1426)', () => {
      const http = routeOf({ name: 'http', rules: [ruleTo('h')] });
      const grpc = routeOf({ name: 'grpc', created: 9, rules: [ruleTo('g')] }, 'GRPCRoute');
      const facts = routingFacts({ routes: [http, grpc] });
      expect(weights(facts)).to.deep.equal({ g: 1 });
      expect(reasons(facts)).to.deep.equal([
        ['HTTPRoute http', 'Conflicted', 'ResolvedRefs'],
        ['GRPCRoute grpc', 'Accepted', 'ResolvedRefs'],
      ]);
    });

    describe('with references that are wrong', () => {
      const known: Readonly<Record<string, KnownPort>> = { gone: 'no service', portless: 'no port' };
      const facts = (ref: object, more: Partial<RoutingFacts> = {}) =>
        routingFacts({
          routes: [routeOf({ rules: [{ backendRefs: [to('good', 9), ref] }] })],
          knownPort: (_, name) => known[name] ?? 'known',
          ...more,
        });
      const table: readonly (readonly [string, object, string])[] = [
        ['a Service that is not there', to('gone'), 'BackendNotFound'],
        ['a port that is not there', to('portless'), 'BackendNotFound'],
        ['no port', { name: 'good' }, 'BackendNotFound'],
        ['another kind', to('x', 1, { kind: 'Bucket' }), 'InvalidKind'],
        ['another group', to('x', 1, { group: 'cloud.example' }), 'InvalidKind'],
        ['another namespace', to('x', 1, { namespace: 'secret' }), 'RefNotPermitted'],
      ];
      for (const [what, ref, reason] of table)
        it(`keeps the part of ${what} from the others, and says ${reason}`, () => {
          const { routing, verdicts } = serviceRouting(facts(ref));
          expect(verdicts[0]?.resolved.reason).to.equal(reason);
          const backends = routing?.rules[0]?.backends ?? [];
          expect(backends.map(({ weight, invalid }) => [weight, invalid !== undefined])).to.deep.equal([
            [9, false],
            [1, true],
          ]);
        });

      it('follows one to another namespace that grants it', () => {
        const granted: RoutingFacts['granted'] = (from, { namespace, name }) =>
          from.kind === 'HTTPRoute' && from.namespace === 'demo' && namespace === 'secret' && name === 'x';
        const { verdicts } = serviceRouting(facts(to('x', 1, { namespace: 'secret' }), { granted }));
        expect(verdicts[0]?.resolved.reason).to.equal('ResolvedRefs');
      });

      it('takes a Service that is not known yet for a good one', () => {
        const { verdicts } = serviceRouting(facts(to('later'), { knownPort: () => 'unknown' }));
        expect(verdicts[0]?.resolved.reason).to.equal('ResolvedRefs');
      });
    });
  });

  describe('for any routes', () => {
    const path = fc.constantFrom('/', '/a', '/a/b', '/b');
    const match = fc.record(
      {
        path: fc.record({ type: fc.constantFrom('Exact', 'PathPrefix', 'RegularExpression'), value: path }),
        method: fc.constantFrom('GET', 'POST'),
        headers: fc.uniqueArray(
          fc.record({ name: fc.constantFrom('x', 'y', 'z'), value: fc.constantFrom('1', '2') }),
          { maxLength: 3, selector: ({ name }) => name },
        ),
      },
      { requiredKeys: [] },
    );
    const rule = fc.record({
      matches: fc.array(match, { maxLength: 3 }),
      backendRefs: fc.array(
        fc.record({
          name: fc.constantFrom('a', 'b', 'c'),
          port: fc.constant(80),
          weight: fc.nat(1_000_000),
        }),
        { maxLength: 3 },
      ),
    });
    const routes = fc.uniqueArray(
      fc.record({ name: fc.constantFrom('p', 'q', 'r', 's'), created: fc.nat(2), rules: fc.array(rule) }),
      { maxLength: 4, selector: ({ name }) => name },
    );

    it('does not depend on the order in which they are known', () => {
      fc.assert(
        fc.property(routes, fc.infiniteStream(fc.nat()), (written, numbers) => {
          const read = written.map((one) => routeOf(one));
          const keyed = read.map((one) => [numbers.next().value, one] as const);
          const shuffled = keyed.toSorted(([a], [b]) => a - b).map(([, one]) => one);
          const [one, other] = [read, shuffled].map((all) => serviceRouting(routingFacts({ routes: all })));
          expect(other?.routing).to.deep.equal(one?.routing);
        }),
      );
    });

    it('keeps every weight that is not 0 as it is written', () => {
      fc.assert(
        fc.property(routes, (written) => {
          const { routing } = serviceRouting(routingFacts({ routes: written.map((one) => routeOf(one)) }));
          const said = written
            .flatMap(({ rules }) => rules)
            .flatMap(({ backendRefs }) => backendRefs.map(({ weight }) => weight))
            .filter((weight) => weight > 0)
            .reduce((sum, weight) => sum + weight, 0);
          const own = written
            .flatMap(({ rules }) => rules)
            .filter(({ backendRefs }) => backendRefs.length === 0).length;
          const followed = (routing?.rules ?? [])
            .flatMap(({ backends }) => backends)
            .reduce((sum, { weight }) => sum + weight, 0);
          expect(followed).to.equal(said + own);
        }),
      );
    });
  });

  it('takes no more matches than can be compared with each request', () => {
    const matches = Array.from({ length: 128 }, (_, n) => ({ path: { type: 'Exact', value: `/${n}` } }));
    const rules = [ruleTo('a', ...matches), ruleTo('a', ...matches)];
    const routes = ['a', 'b', 'c'].map((name, created) => routeOf({ name, created, rules }));
    const facts = routingFacts({ routes });
    expect(reasons(facts).map(([, reason]) => reason)).to.deep.equal([
      'Accepted',
      'Accepted',
      'UnsupportedValue',
    ]);
    const tooMany = routeOf({ rules: [...rules, ...rules] });
    expect(tooMany.problem).to.contain('too many');
  });

  // Each is looked up and kept ready on each port: 32 routes of 256 backends on 100 ports were 800,000.
  it('names no more backends than can be kept ready, over all ports of the Service', () => {
    const backendRefs = Array.from({ length: 16 }, (_, n) => to(`web-${n}`));
    const rules = Array.from({ length: 16 }, () => ({ backendRefs }));
    const routes = ['a', 'b', 'c', 'd', 'e'].map((name, created) => routeOf({ name, created, rules }));
    let asked = 0;
    const knownPort = (): KnownPort => {
      asked++;
      return 'known';
    };
    const first = serviceRouting(routingFacts({ routes, knownPort }));
    expect(first.verdicts.map(({ accepted }) => accepted.reason)).to.deep.equal([
      ...Array.from({ length: 4 }, () => 'Accepted'),
      'UnsupportedValue',
    ]);
    expect(first.references).to.equal(MAX_REFERENCES);
    const next = serviceRouting(routingFacts({ routes, knownPort, port: 81, references: 300 }));
    expect(next.routing?.rules).to.have.length(16);
    expect(next.verdicts[1]?.accepted.message).to.contain('more than 1024 backends');
    expect(asked).to.equal(MAX_REFERENCES + 256);
  });
});

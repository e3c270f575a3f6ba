import { expect } from 'chai';
import {
  APEX_ROUTE_CONTROLLER,
  ROUTE_CONTROLLER,
  type RouteParentStatus,
} from '../../../../src/api/routing/routing-kinds.ts';
import { routeParents } from '../../../../src/policy/routing/route-status.ts';
import { serviceRouting } from '../../../../src/policy/routing/service-routing.ts';
import { routeOf, routingFacts } from '../../../support/routing-facts.ts';

const NOW = '2026-11-29T12:00:00Z';
const LATER = '2026-11-29T13:00:00Z';
const REF = { group: '', kind: 'Service', name: 'web' };
const THEIRS: RouteParentStatus = { parentRef: REF, controllerName: 'linkerd.io/policy-controller' };
const verdictsOf = (knownPort: 'known' | 'no service' = 'known') =>
  serviceRouting(
    routingFacts({
      routes: [routeOf({ rules: [{ backendRefs: [{ name: 'a', port: 80 }] }] })],
      knownPort: () => knownPort,
    }),
  ).verdicts;

describe('the status of a route', () => {
  it('has an entry of ours with both conditions, beside those of others', () => {
    expect(
      routeParents([THEIRS], verdictsOf('no service'), {
        controllerName: ROUTE_CONTROLLER,
        generation: 4,
        now: NOW,
      }),
    ).to.deep.equal([
      THEIRS,
      {
        parentRef: REF,
        controllerName: 'linkspan.dev/gateway',
        conditions: [
          {
            type: 'Accepted',
            status: 'True',
            reason: 'Accepted',
            message: '',
            observedGeneration: 4,
            lastTransitionTime: NOW,
          },
          {
            type: 'ResolvedRefs',
            status: 'False',
            reason: 'BackendNotFound',
            message: 'there is no Service demo/a',
            observedGeneration: 4,
            lastTransitionTime: NOW,
          },
        ],
      },
    ]);
  });

  it('is not written again while it says the same, wherever ours stands', () => {
    const ours =
      routeParents([], verdictsOf(), { controllerName: ROUTE_CONTROLLER, generation: 1, now: NOW }) ?? [];
    for (const current of [ours, [...ours, THEIRS], [THEIRS, ...ours]])
      expect(
        routeParents(current, verdictsOf(), { controllerName: ROUTE_CONTROLLER, generation: 1, now: LATER }),
      ).to.equal(undefined);
  });

  it('keeps the time of a condition that holds on, and not of one that changes', () => {
    const before =
      routeParents([], verdictsOf('no service'), {
        controllerName: ROUTE_CONTROLLER,
        generation: 1,
        now: NOW,
      }) ?? [];
    const [ours] =
      routeParents(before, verdictsOf(), { controllerName: ROUTE_CONTROLLER, generation: 2, now: LATER }) ??
      [];
    const times = ours?.conditions?.map((one) => [one.type, one.status, one.lastTransitionTime]);
    expect(times).to.deep.equal([
      ['Accepted', 'True', NOW],
      ['ResolvedRefs', 'True', LATER],
    ]);
  });

  it('loses ours where the route is none of ours any more', () => {
    const before =
      routeParents([THEIRS], verdictsOf(), { controllerName: ROUTE_CONTROLLER, generation: 1, now: NOW }) ??
      [];
    expect(
      routeParents(before, [], { controllerName: ROUTE_CONTROLLER, generation: 1, now: LATER }),
    ).to.deep.equal([THEIRS]);
    const keep = () => true;
    expect(
      routeParents(before, [], { controllerName: ROUTE_CONTROLLER, generation: 1, now: LATER, keep }),
    ).to.equal(undefined);
  });

  // The gateway and the controller may both have something to say of one route: neither takes the other's
  // word away, or they would write in turns for ever.
  it('has an entry for each name under which we write', () => {
    const facts = { generation: 1, now: NOW };
    const first = routeParents([], verdictsOf(), { controllerName: ROUTE_CONTROLLER, ...facts }) ?? [];
    const both = routeParents(first, verdictsOf(), { controllerName: APEX_ROUTE_CONTROLLER, ...facts }) ?? [];
    expect(both.map(({ controllerName }) => controllerName)).to.deep.equal([
      ROUTE_CONTROLLER,
      APEX_ROUTE_CONTROLLER,
    ]);
    for (const controllerName of [ROUTE_CONTROLLER, APEX_ROUTE_CONTROLLER])
      expect(routeParents(both, verdictsOf(), { controllerName, ...facts })).to.equal(undefined);
    expect(routeParents(both, [], { controllerName: ROUTE_CONTROLLER, ...facts })).to.deep.equal(
      both.slice(1),
    );
  });
});

import { expect } from 'chai';
import { readTapQuery, tapQuery } from '../../../src/api/answers/tap-events.ts';
import type { LoggedFlow } from '../../../src/proxy/downstream/access-log.ts';
import { ProxyFailure } from '../../../src/proxy/http/failures.ts';
import type { TapPlaces } from '../../../src/tap/tap-event.ts';
import { compileFilter, compileOpenFilter } from '../../../src/tap/tap-filter.ts';
import { loggedFlow, loggedSession } from '../../support/logged-flow.ts';
import { expectUnnoticed } from '../../support/linear-time.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const GATEWAY: TapPlaces = {
  process: 'gateway',
  clusterOf: () => undefined,
  clusterAt: () => undefined,
};
const EGRESS: TapPlaces = {
  process: 'egress',
  clusterOf: (label) => (label === 'demo/web-west:80' ? 'west' : undefined),
  clusterAt: () => undefined,
};
const FAILED = new ProxyFailure('failfast', 'no ready endpoints');

interface Seen {
  readonly flow?: Partial<LoggedFlow>;
  readonly target?: string;
  readonly clientName?: string;
  readonly failure?: ProxyFailure;
  readonly places?: TapPlaces;
  /** Milliseconds since it came. */
  readonly since?: number;
}

function wants(
  query: string,
  { flow = {}, failure, places = GATEWAY, since = 0, ...session }: Seen,
): boolean {
  const asked = loggedSession({ ...session, clock: new VirtualClock(since) });
  return compileFilter(readTapQuery(new URLSearchParams(query)), places)(asked, loggedFlow(flow), failure);
}

/** [what is asked, a flow that is shown, one that is not] */
const CASES: readonly (readonly [string, Seen, Seen])[] = [
  ['namespace=demo', {}, { target: 'web.shop.svc.cluster.local:80' }],
  ['service=web', {}, { target: 'api.demo.svc.cluster.local:80' }],
  ['service=web-west', { target: 'demo/web-west:80', places: EGRESS }, { places: EGRESS }],
  ['side=gateway', {}, { target: 'demo/web-west:80', places: EGRESS }],
  ['cluster=west', { target: 'demo/web-west:80', places: EGRESS }, {}],
  ['from=default.east.*', {}, { clientName: 'default.west.serviceaccount.identity.linkerd.west' }],
  ['to=demo/w*', {}, { target: 'api.demo.svc.cluster.local:80' }],
  ['method=GET,PUT', {}, { flow: { method: 'POST' } }],
  ['path=/cart', { flow: { path: '/cart/1?x=/other' } }, { flow: { path: '/other?y=/cart' } }],
  ['path=/cart', { flow: { path: 'http://u:p@h/cart' } }, { flow: { path: undefined } }],
  ['status=5xx,404', { flow: { status: 503 } }, { flow: { status: 200 } }],
  ['status=5xx,404', { flow: { status: 404 } }, { flow: { status: undefined } }],
  ['failures=true', { failure: FAILED }, {}],
  ['failures=true', { flow: { grpcStatus: 14 } }, { flow: { grpcStatus: 0 } }],
  ['minLatencyMs=500', { since: 500 }, { since: 499 }],
  ['protocol=http1,opaque', { flow: { protocol: 'opaque' } }, { flow: { protocol: 'http2' } }],
];

describe('A filter of a tap', () => {
  for (const [query, shown, other] of CASES)
    it(`shows by ${query} what was asked for, and nothing else`, () => {
      expect(wants(query, shown), JSON.stringify(shown)).to.equal(true);
      expect(wants(query, other), JSON.stringify(other)).to.equal(false);
    });

  it('is the same when it has been a query, or data for another process', () => {
    for (const [query] of CASES) {
      const filter = readTapQuery(new URLSearchParams(query));
      expect(readTapQuery(new URLSearchParams(tapQuery(filter)))).to.deep.equal(filter);
      expect(JSON.parse(JSON.stringify(filter))).to.deep.equal(JSON.parse(JSON.stringify({ ...filter })));
    }
  });

  // The pattern is of who looks, the name of who asks, and the time that of everybody's requests.
  it('costs a request no more, whatever pattern it has for the name of the client', () => {
    const filter = readTapQuery(new URLSearchParams(`from=*${'a'.repeat(250)}b*`));
    const asked = compileFilter(filter, GATEWAY);
    const [session, flow] = [loggedSession({ clientName: 'a'.repeat(500) }), loggedFlow()];
    expectUnnoticed(() => {
      for (let request = 0; request < 5000; request++) asked(session, flow, undefined);
    }, '5,000 requests');
  });

  it('says what of a query is wrong', () => {
    for (const [query, what] of [
      ['namespace=a/b', 'namespace'],
      ['status=6xx', 'status'],
      ['status=', 'status'],
      ['maxRps=0', 'maxRps'],
      ['maxRps=5000', 'maxRps'],
      ['forMs=600001', 'forMs'],
      ['protocol=quic', 'protocol'],
      ['failures=perhaps', 'failures'],
      [`path=${'x'.repeat(600)}`, 'path'],
      ['headers=all', ''],
    ] as const)
      expect(() => readTapQuery(new URLSearchParams(query)), query).to.throw(RangeError, what);
  });

  it('of what is under way shows nothing that only its end would say', () => {
    const open = (query: string) =>
      compileOpenFilter(readTapQuery(new URLSearchParams(query)), GATEWAY)(loggedSession(), loggedFlow());
    expect(open('')).to.equal(true);
    expect(open('minLatencyMs=5000')).to.equal(true);
    expect(open('failures=true')).to.equal(false);
    expect(open('status=2xx')).to.equal(false);
    expect(open('service=other')).to.equal(false);
  });
});

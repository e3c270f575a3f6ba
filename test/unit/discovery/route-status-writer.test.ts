import { expect } from 'chai';
import {
  GATEWAY_API_GROUP,
  type Route,
  ROUTE_CONTROLLER,
  type RouteStatus,
} from '../../../src/api/routing/routing-kinds.ts';
import { RouteStatusWriter } from '../../../src/discovery/route-status-writer.ts';
import { statusError } from '../../../src/kube/client/api-error.ts';
import type { KubeClient } from '../../../src/kube/client/kube-client.ts';
import { readRoute } from '../../../src/policy/routing/read-route.ts';
import { serviceRouting } from '../../../src/policy/routing/service-routing.ts';
import { serviceVerdicts } from '../../../src/policy/routing/route-verdicts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { routingFacts } from '../../support/routing-facts.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const SOURCE = { group: GATEWAY_API_GROUP, kind: 'HTTPRoute', plural: 'httproutes' } as const;
const REF = { group: '', kind: 'Service' };

describe('what gateways say in the status of a route', () => {
  let clock: VirtualClock;
  let stored: Route;
  let writes: RouteStatus[];
  let failure: Error | undefined;
  let version: number;
  const writers: RouteStatusWriter[] = [];
  const { log, lines } = captureLog();

  beforeEach(() => {
    clock = new VirtualClock();
    writes = [];
    failure = undefined;
    version = 1;
    stored = {
      metadata: { name: 'canary', namespace: 'demo', generation: 1, resourceVersion: '1' },
      spec: { parentRefs: ['web', 'api'].map((name) => ({ ...REF, name })) },
    };
  });
  afterEach(() => Promise.all(writers.splice(0).map((writer) => writer.stop())));

  /** An API server that takes writes of the newest version only. */
  const patch = (_: unknown, __: unknown, body: Route): Promise<Route> => {
    if (failure !== undefined) return Promise.reject(failure);
    if (body.metadata?.resourceVersion !== stored.metadata?.resourceVersion)
      return Promise.reject(statusError(409, '{"reason":"Conflict"}', 'fake', undefined));
    writes.push(body.status ?? {});
    change(body.status);
    return Promise.resolve(stored);
  };
  function change(status: RouteStatus | undefined): void {
    const metadata = { ...stored.metadata, resourceVersion: String(++version) };
    stored = { ...stored, metadata, ...(status === undefined ? {} : { status }) };
  }

  function writer(): RouteStatusWriter {
    const one = new RouteStatusWriter({
      client: { patch } as unknown as KubeClient,
      clock,
      random: () => 0.5,
      log,
      objects: { route: () => stored, versionOf: () => 'v1' },
      controllerName: 'linkspan.dev/gateway',
    });
    writers.push(one);
    return one;
  }
  /** The gateway that serves a Service looks at the route as it stands. */
  function look(one: RouteStatusWriter, service: string): void {
    const read = readRoute('HTTPRoute', SOURCE.group, stored);
    const { verdicts } = serviceRouting(routingFacts({ service, routes: [read] }));
    const own = serviceVerdicts(read, { namespace: 'demo', name: service }, verdicts);
    one.set(`demo/${service}`, [
      { source: SOURCE, route: 'demo/canary', generation: stored.metadata?.generation ?? 0, verdicts: own },
    ]);
  }
  async function pass(ms: number): Promise<void> {
    await clock.advance(ms);
    await settle();
  }
  const parents = () => stored.status?.parents?.map(({ parentRef }) => parentRef.name);

  it('is written once by several of them', async () => {
    const all = [writer(), writer(), writer()];
    for (const one of all) look(one, 'web');
    await pass(1000);
    for (const one of all) look(one, 'web');
    await pass(5000);
    expect(writes).to.have.length(1);
    expect(parents()).to.deep.equal(['web']);
  });

  // Gateways of one cluster may serve different Services: each would else take the other's word away, for
  // ever.
  it('stays where another gateway serves the other parent', async () => {
    const [one, other] = [writer(), writer()];
    look(one, 'web');
    await pass(1000);
    look(other, 'api');
    await pass(1000);
    look(one, 'web');
    await pass(1000);
    expect(parents()).to.deep.equal(['web', 'api']);
    expect(writes).to.have.length(2);
  });

  it('goes when the Service is not served any more', async () => {
    const one = writer();
    look(one, 'web');
    await pass(1000);
    one.set('demo/web', []);
    await pass(1000);
    expect(parents()).to.deep.equal([]);
  });

  // Two versions of this program would else write against one another for as long as both run.
  it('is not written again within a minute where somebody has changed it', async () => {
    const one = writer();
    look(one, 'web');
    await pass(1000);
    change({ parents: [] });
    one.changed(SOURCE, 'demo/canary');
    await pass(30_000);
    expect(writes).to.have.length(1);
    await pass(31_000);
    expect(writes).to.have.length(2);
  });

  // What was judged is not what stands there now: its reader would take it for a word about his last edit.
  it('is not written for a version that was not judged', async () => {
    const one = writer();
    look(one, 'web');
    stored = { ...stored, metadata: { ...stored.metadata, generation: 2 } };
    await pass(5000);
    expect(writes).to.have.length(0);
    look(one, 'web');
    await pass(1000);
    expect(writes).to.have.length(1);
    expect(stored.status?.parents?.[0]?.conditions?.[0]?.observedGeneration).to.equal(2);
  });

  // Whoever makes thousands of routes had every gateway write their status as fast as it could.
  it('is written for many at a bounded rate', async () => {
    let version = 0;
    const one = new RouteStatusWriter({
      client: { patch: () => Promise.resolve(void version++) } as unknown as KubeClient,
      clock,
      random: () => 0.5,
      log,
      objects: { route: () => stored, versionOf: () => 'v1' },
      controllerName: ROUTE_CONTROLLER,
    });
    writers.push(one);
    const read = readRoute('HTTPRoute', SOURCE.group, stored);
    const { verdicts } = serviceRouting(routingFacts({ routes: [read] }));
    const own = serviceVerdicts(read, { namespace: 'demo', name: 'web' }, verdicts);
    const words = Array.from({ length: 500 }, (_, n) => ({
      source: SOURCE,
      route: `demo/canary-${n}`,
      generation: 1,
      verdicts: own,
    }));
    one.set('demo/web', words);
    await pass(1000);
    expect(version).to.be.within(50, 80);
    await pass(30_000);
    expect(version).to.equal(500);
  });

  it('is left alone without the right to write it, which is said once', async () => {
    failure = statusError(403, '{"reason":"Forbidden"}', 'fake', undefined);
    const one = writer();
    look(one, 'web');
    await pass(1000);
    change(undefined);
    one.changed(SOURCE, 'demo/canary');
    await pass(70_000);
    const said = lines.filter(({ msg }) => msg.startsWith('the status of routes may not be written'));
    expect(said).to.have.length(1);
    expect(writes).to.deep.equal([]);
  });
});

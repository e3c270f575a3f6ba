import { expect } from 'chai';
import { MAY_KNOW_MS, MUST_KNOW_MS, NO_CLIENTS } from '../../../../src/egress/clients/client.ts';
import { ClientFields } from '../../../../src/egress/clients/client-fields.ts';
import { NO_NAMESPACE_RULES } from '../../../../src/egress/clients/namespace-rules.ts';
import { RefusedClients } from '../../../../src/egress/clients/refusals.ts';
import {
  type ClientParts,
  RelayedClient,
  RouteClients,
} from '../../../../src/egress/clients/route-clients.ts';
import type { Route } from '../../../../src/egress/routes/route.ts';
import type { Identity } from '../../../../src/identity/sources/identity.ts';
import type { Connection } from '../../../../src/proxy/io/connection.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { fixedIdentity } from '../../../support/fixed-identity.ts';
import { ListedClients, pod } from '../../../support/listed-clients.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const EAST = 'serviceaccount.identity.linkerd.east';
const ADDRESS = '10.0.0.1';
const connection = { remoteAddress: `::ffff:${ADDRESS}` } as Connection;
const route: Route = {
  label: 'own/web-west:80',
  namespace: 'own',
  listenPort: 10_000,
  targetCluster: 'west',
  name: 'web.own.svc.cluster.local',
  port: 80,
  protocol: 'http1',
  gateway: { addresses: ['10.9.9.9'], port: 4143, identity: 'gw' },
};
const guarded: Route = { ...route, allowedNamespaces: ['a'] };

// A pod connects a moment before the API server hears of its address. Refusing it would break every pod at
// its start; believing whom the address belonged to before would give it that one's rights.
describe('a client that is not known yet', () => {
  let clock: VirtualClock;
  let clients: ListedClients;
  let parts: ClientParts;

  beforeEach(() => {
    clock = new VirtualClock();
    clients = new ListedClients();
    const log = createLogger({ name: 'egress', level: 'silent' });
    parts = {
      clients,
      fields: new ClientFields(fixedIdentity({ name: `egress.linkspan.${EAST}` } as Identity)),
      refused: new RefusedClients({ clock, log }),
      policy: 'all',
      namespaces: NO_NAMESPACE_RULES,
      strangers: new Set(),
    };
  });

  const routeClients = (of: Route) => new RouteClients(of, parts, clock);
  const identifiedAtOnce = (of: Route, named: boolean) =>
    routeClients(of).identify(connection, named) instanceof RelayedClient;

  /** What has become of a meeting so far. */
  function watched(of: Route, named: boolean) {
    const at = routeClients(of);
    const state: { client?: RelayedClient; at: RouteClients } = { at };
    const identified = at.identify(connection, named);
    void Promise.resolve(identified).then((client) => (state.client = client));
    return state;
  }

  it('is waited for where the mirror lets in only some, and let in as soon as it is known', async () => {
    const meeting = watched(guarded, false);
    await clock.advance(MUST_KNOW_MS - 1);
    expect([meeting.client, clients.waiting(ADDRESS)]).to.deep.equal([undefined, 1]);
    clients.set(ADDRESS, pod('a', 'x'));
    await clock.advance(0);
    const { client } = meeting;
    if (client === undefined) throw new Error('it still waits');
    expect(meeting.at.check(client)).to.equal(undefined);
    expect(client.client?.value).to.equal(`x.a.${EAST}`);
    client.disconnected();
    expect([clients.waiting(ADDRESS), clock.pending]).to.deep.equal([0, 0]);
  });

  it('is refused when nobody knows it in time, and counted', async () => {
    const meeting = watched(guarded, false);
    await clock.advance(MUST_KNOW_MS);
    const { client } = meeting;
    if (client === undefined) throw new Error('it still waits');
    expect(meeting.at.check(client)?.status).to.equal(403);
    expect([...parts.refused.entries()]).to.deep.equal([
      { mirror: 'own/web-west:80', reason: 'no pod', count: 1 },
    ]);
  });

  it('is not waited for where anybody may come and nobody asks who it is', () => {
    expect(identifiedAtOnce(route, false)).to.equal(true);
  });

  it('is waited for where its gateway asks who it is; in vain only once', async () => {
    const meeting = watched(route, true);
    expect(meeting.client).to.equal(undefined);
    await clock.advance(MAY_KNOW_MS);
    const { client } = meeting;
    if (client === undefined) throw new Error('it still waits');
    expect([client.client, meeting.at.check(client)]).to.deep.equal([undefined, undefined]);
    // Whatever is no pod (a machine outside, a translated address) must not pay for each connection.
    expect(identifiedAtOnce(route, true)).to.equal(true);
    // Where it may come in only when it is known, it is given the time again.
    expect(identifiedAtOnce(guarded, false)).to.equal(false);
  });

  it('is named from the next request on when it becomes known while its connection is open', () => {
    const client = routeClients(route).identify(connection, false) as RelayedClient;
    expect(client.client).to.equal(undefined);
    clients.set(ADDRESS, pod('a', 'x'));
    expect(client.client?.value).to.equal(`x.a.${EAST}`);
  });

  // Kept for the life of a connection, what was last heard of an address gave its heir the rights of whoever
  // had it before: the word of a new pod may come later than its first connection.
  it('is the heir of an address as soon as that one is heard of, on open connections too', async () => {
    clients.set(ADDRESS, pod('a', 'x'));
    const open = routeClients(guarded).identify(connection, false) as RelayedClient;
    let changes = 0;
    open.onChange = () => changes++;
    expect([routeClients(guarded).check(open), open.client?.value]).to.deep.equal([undefined, `x.a.${EAST}`]);
    clients.set(ADDRESS, pod('b', 'y'));
    expect([routeClients(guarded).check(open)?.status, open.client?.value, changes]).to.deep.equal([
      403,
      `y.b.${EAST}`,
      1,
    ]);
  });

  it('is the heir also where the one before has been waited for in vain', async () => {
    clients.set(ADDRESS, pod('a', 'x', { leaving: true }));
    const meeting = watched(guarded, true);
    await clock.advance(MUST_KNOW_MS);
    const { client } = meeting;
    if (client === undefined) throw new Error('it still waits');
    expect(client.client?.value).to.equal(`x.a.${EAST}`);
    clients.set(ADDRESS, pod('a', 'x', { leaving: true }), pod('b', 'y'));
    expect([meeting.at.check(client)?.status, client.client?.value]).to.deep.equal([403, `y.b.${EAST}`]);
  });

  it('is nobody when its pod is gone and nobody else is known', () => {
    clients.set(ADDRESS, pod('a', 'x'));
    const open = routeClients(guarded).identify(connection, false) as RelayedClient;
    expect(routeClients(guarded).check(open)).to.equal(undefined);
    clients.set(ADDRESS);
    expect([routeClients(guarded).check(open)?.status, open.client]).to.deep.equal([403, undefined]);
  });

  it('with the address of a pod that leaves, is not taken for it before the address could have been heard of anew', async () => {
    clients.set(ADDRESS, pod('a', 'x', { leaving: true }));
    const [reused, same] = [watched(guarded, false), watched(route, true)];
    expect([reused.client, same.client]).to.deep.equal([undefined, undefined]);
    clients.set(ADDRESS, pod('a', 'x', { leaving: true }), pod('b', 'y'));
    await clock.advance(0);
    const { client } = reused;
    if (client === undefined) throw new Error('it still waits');
    expect(reused.at.check(client)?.status).to.equal(403);
    expect(same.client?.client?.value).to.equal(`y.b.${EAST}`);
  });

  it('that leaves itself may still ask for what it needs to end', async () => {
    clients.set(ADDRESS, pod('a', 'x', { leaving: true }));
    const meeting = watched(guarded, false);
    await clock.advance(MAY_KNOW_MS);
    const { client } = meeting;
    if (client === undefined) throw new Error('it still waits');
    expect([meeting.at.check(client), client.client?.value]).to.deep.equal([undefined, `x.a.${EAST}`]);
  });

  it('is let in nowhere that matters by an egress that does not look at pods', () => {
    parts = { ...parts, clients: NO_CLIENTS };
    const at = routeClients(guarded);
    const client = at.identify(connection, true) as RelayedClient;
    expect(at.check(client)?.message).to.include('--clients off');
    expect(client.client).to.equal(undefined);
  });

  it('is judged by what the mirror says now', () => {
    clients.set(ADDRESS, pod('b', 'y'));
    const at = routeClients(route);
    const client = at.identify(connection, false) as RelayedClient;
    expect(at.check(client)).to.equal(undefined);
    at.follow(guarded);
    expect(at.check(client)?.status).to.equal(403);
  });

  it('is judged by what the namespace of the mirror says where the mirror says nothing, and by the mirror where it does', () => {
    clients.set(ADDRESS, pod('b', 'y'));
    const namespaces = { ...NO_NAMESPACE_RULES, allowed: () => ['a'] };
    parts = { ...parts, namespaces };
    const client = new RelayedClient(ADDRESS, parts);
    expect(routeClients(route).check(client)?.status).to.equal(403);
    expect(routeClients({ ...route, allowedNamespaces: ['b'] }).check(client)).to.equal(undefined);
  });

  it('has no name where the egress has none that goes with it, or the account none in DNS', () => {
    clients.set(ADDRESS, pod('a', 'x'));
    parts = { ...parts, fields: new ClientFields(fixedIdentity({ name: 'egress.east' } as Identity)) };
    expect(new RelayedClient(ADDRESS, parts).client).to.equal(undefined);
  });
});

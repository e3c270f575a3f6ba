import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { Pace } from '../../../../src/kube/budget/pace.ts';
import { PeerBudget } from '../../../../src/kube/budget/peer-budget.ts';
import { services } from '../../../../src/api/kubernetes/resource.ts';
import { MAX_NAMED_GATEWAYS } from '../../../../src/linking/export-gateways.ts';
import { TARGET_BUDGETS, READ_RATE } from '../../../../src/controllers/settings/target-budgets.ts';
import { parseLink } from '../../../../src/api/link/link-schema.ts';
import { AnnotatedGateways } from '../../../../src/controllers/gateway-health/annotated-gateways.ts';
import type { GatewayHealthOptions } from '../../../../src/controllers/gateway-health/gateway-probes.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { noNames } from '../../../support/host-names.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/** A gateway's Service, in whose words there is nothing good. */
function door(name: string, ip: string, port = 5432): V1Service {
  return {
    metadata: {
      name,
      namespace: 'evil',
      annotations: {
        'mirror.linkerd.io/gateway-identity': 'side.door',
        'mirror.linkerd.io/probe-path': '/admin/delete?all=true',
        'mirror.linkerd.io/probe-period': '0.01',
      },
    },
    spec: {
      ports: [
        { name: 'mc-gateway', port },
        { name: 'mc-probe', port: 6379 },
      ],
    },
    status: { loadBalancer: { ingress: [{ ip }] } },
  };
}

async function start(
  gateways: readonly object[] = [],
  budget: PeerBudget = new PeerBudget(TARGET_BUDGETS.held),
) {
  const target = new FakeCluster();
  const clock = new VirtualClock();
  const asked: { address: string; probe: GatewayHealthOptions['probe']; identity: string }[] = [];
  const verdict = parseLink({
    metadata: {
      name: 'west',
      namespace: 'links',
      annotations: { 'linkspan.dev/import-gateways': JSON.stringify(gateways) },
    },
    spec: {
      targetClusterName: 'west',
      clusterCredentialsSecret: 'x',
      gatewayAddress: '203.0.113.1',
      gatewayPort: '4143',
      gatewayIdentity: 'gw',
      probeSpec: { path: '/ready', port: '4191', period: '3s' },
    },
  });
  if (!verdict.ok) throw new Error('the Link is fine');
  const annotated = new AnnotatedGateways({
    remote: target.client,
    link: verdict.link,
    limits: {
      budget,
      pace: new Pace(READ_RATE, clock),
      maxPages: TARGET_BUDGETS.pages,
    },
    cluster: 'west',
    names: noNames(clock),
    refusal: () => undefined,
    health: ({ probe, identity }) => ({
      update: (addresses) => addresses.forEach((address) => asked.push({ address, probe, identity })),
      stateOf: () => 'alive',
      states: [],
      stop: () => undefined,
    }),
    clock,
    random: () => 0.5,
    log: createLogger({ name: 'test', level: 'silent' }),
    onChange: () => undefined,
  });
  const put = (service: V1Service) => target.client.create(services, service);
  return { target, clock, asked, annotated, put };
}

describe('gateways that exports name by annotation', () => {
  it('are nobody to probe, and have no address, as long as the admin has not allowed them', async () => {
    // GET /admin/delete?all=true went to 127.0.0.1:6379, a hundred times a second, because a Service in the
    // target said so.
    const { annotated, put, clock, asked } = await start();
    await put(door('door', '127.0.0.1'));
    annotated.use('evil/web', 'evil/door');
    await clock.advance(1000);
    const facts = annotated.facts('evil/door');
    expect(facts).to.deep.include({ path: 'refused', known: [], alive: [], identity: '', port: 0 });
    expect(facts).to.have.nested.property('refusal.reason', 'GatewayNotAllowed');
    expect(asked).to.deep.equal([]);
    await annotated.stop();
  });

  it("are probed, once allowed, at the admin's address and port, with the Link's path and period", async () => {
    const { annotated, put, clock, asked } = await start([
      { addresses: ['198.51.100.7'], port: 5432, identity: 'side.door' },
    ]);
    await put(door('door', '198.51.100.7'));
    annotated.use('evil/web', 'evil/door');
    await clock.advance(1000);
    expect(annotated.facts('evil/door')).to.deep.include({
      path: 'alive',
      alive: ['198.51.100.7'],
      own: true,
    });
    const probe = { path: '/ready', port: 4191, periodMs: 3000, timeoutMs: 30_000, failureThreshold: 3 };
    expect(asked.at(-1)).to.deep.equal({ address: '198.51.100.7', probe, identity: 'side.door' });
    await annotated.stop();
  });

  it("are the Link's own gateway where they are that", async () => {
    const { annotated, put, clock, asked } = await start();
    const own = door('own', '203.0.113.1', 4143);
    own.metadata = {
      ...own.metadata,
      annotations: { ...own.metadata?.annotations, 'mirror.linkerd.io/gateway-identity': 'gw' },
    };
    await put(own);
    annotated.use('evil/web', 'evil/own');
    await clock.advance(1000);
    expect(annotated.facts('evil/own')).to.equal('link');
    expect(asked).to.deep.equal([]);
    await annotated.stop();
  });

  it('are followed up to a number: a target cannot make the source watch as many as it likes', async () => {
    const { annotated, clock, target } = await start();
    for (let i = 0; i <= MAX_NAMED_GATEWAYS; i++) annotated.use(`evil/web-${i}`, `evil/door-${i}`);
    await clock.advance(1000);
    expect(target.lists).to.have.lengthOf(MAX_NAMED_GATEWAYS);
    const last = `evil/door-${MAX_NAMED_GATEWAYS}`;
    expect(annotated.facts(last)).to.have.nested.property('refusal.reason', 'GatewayNotAllowed');
    annotated.use('evil/web-0', undefined);
    await clock.advance(1000);
    expect(annotated.facts(last)).to.include({ path: 'unresolved' });
    expect(annotated.users(last)).to.deep.equal([`evil/web-${MAX_NAMED_GATEWAYS}`]);
    await annotated.stop();
  });

  it('are followed when the room for watches that others had is free again', async () => {
    // They waited until their export changed, if it ever did.
    const budget = new PeerBudget({ ...TARGET_BUDGETS.held, watches: 2 });
    const { annotated, clock } = await start([], budget);
    const slices = {};
    budget.countWatches(slices, 2, 2);
    annotated.use('evil/web', 'evil/door');
    await clock.advance(1000);
    expect(annotated.facts('evil/door')).to.include({ path: 'refused' });
    budget.countWatches(slices, 1, 1);
    await clock.advance(1000);
    expect(annotated.facts('evil/door')).to.include({ path: 'unresolved' });
    expect(annotated.users('evil/door')).to.deep.equal(['evil/web']);
    await annotated.stop();
  });
});

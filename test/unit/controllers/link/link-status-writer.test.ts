import { expect } from 'chai';
import { writeDrain } from '../../../../src/api/failover/failover-drain.ts';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';
import type { LinkStatus } from '../../../../src/api/link/link-status.ts';
import { linkConditions, type PeerFacts } from '../../../../src/controllers/link/link-conditions.ts';
import { LinkStatusWriter } from '../../../../src/controllers/link/link-status-writer.ts';
import type { TargetCluster } from '../../../../src/controllers/link/target-cluster.ts';
import type { Outcome } from '../../../../src/controllers/reconcile/reconciler.ts';
import { MAX_LISTED, ServiceStatusList } from '../../../../src/controllers/link/service-statuses.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { aliveGateway } from '../../../support/mirror-facts.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const outcome = (change: Partial<Outcome> = {}): Outcome => ({
  reason: 'Mirrored',
  message: '',
  local: 'web-west',
  since: Date.UTC(2026, 0, 1),
  ...change,
});

const outcomesOf = (...entries: [string, Partial<Outcome>][]) =>
  new Map(entries.map(([key, change]) => [key, outcome(change)]));

const statusesOf = (outcomes: ReadonlyMap<string, Outcome>) =>
  new ServiceStatusList(outcomes, undefined).of(outcomes);

function peerFacts(change: Partial<PeerFacts> = {}): PeerFacts {
  return {
    link: { name: 'west', namespace: 'links' },
    synced: true,
    apiError: undefined,
    gateway: { facts: aliveGateway(), probed: true, reports: [] },
    mirrors: { reconciler: { outcomes: outcomesOf(['demo/web', {}]) } },
    federated: { reconciler: { outcomes: new Map() } },
    busy: false,
    replacedBy: undefined,
    ...change,
  };
}

describe('conditions of a Link', () => {
  const of = (change: Partial<PeerFacts>) =>
    Object.fromEntries(
      linkConditions({ problem: undefined, peer: peerFacts(change) }, 1).map(({ type, status, reason }) => [
        type,
        `${status} ${reason}`,
      ]),
    );
  const withReasons = (...reasons: Outcome['reason'][]) => ({
    reconciler: {
      outcomes: new Map(reasons.map((reason, index) => [`demo/s${index}`, outcome({ reason })])),
    },
  });
  const cases: readonly [string, Partial<PeerFacts>, string, string][] = [
    ['all is well', {}, 'Synced', 'True AllMirrored'],
    ['a gateway answers', {}, 'GatewayAlive', 'True ProbesAnswered'],
    ['no gateway', { gateway: undefined }, 'GatewayAlive', 'Unknown NoGateway'],
    [
      'a dead gateway',
      { gateway: { facts: aliveGateway({ path: 'dead' }), probed: true, reports: [] } },
      'GatewayAlive',
      'False ProbesFailed',
    ],
    [
      'an unknown gateway',
      { gateway: { facts: aliveGateway({ path: 'unknown' }), probed: true, reports: [] } },
      'GatewayAlive',
      'Unknown Waiting',
    ],
    [
      'a gateway that is not probed',
      { gateway: { facts: aliveGateway(), probed: false, reports: [] } },
      'GatewayAlive',
      'Unknown NotProbed',
    ],
    ['an API server that is away', { apiError: new Error('refused') }, 'APIReachable', 'False Unreachable'],
    [
      'an API server that refuses',
      { apiError: Object.assign(new Error('no'), { status: 403 }) },
      'APIReachable',
      'False Forbidden',
    ],
    [
      'an API server that does not know the token',
      { apiError: Object.assign(new Error('no'), { status: 401 }) },
      'CredentialsValid',
      'False CredentialsRejected',
    ],
    ['before the first list', { synced: false }, 'Synced', 'False Waiting'],
    ['work to do', { busy: true }, 'Synced', 'False Mirroring'],
    [
      'some are not mirrored',
      { mirrors: withReasons('Mirrored', 'NameConflict') },
      'Synced',
      'False SomeNotMirrored',
    ],
    [
      'no endpoints is no failure of mirroring',
      { mirrors: withReasons('NoReadyEndpoints') },
      'Synced',
      'True AllMirrored',
    ],
    ['removals are held', { mirrors: withReasons('DropHeld') }, 'Synced', 'False DropHeld'],
    [
      'the cluster was replaced',
      { mirrors: withReasons('DropHeld'), replacedBy: 'uid-2' },
      'Synced',
      'False ClusterReplaced',
    ],
    [
      'federated members count too',
      { federated: withReasons('NameConflict') },
      'Synced',
      'False SomeNotMirrored',
    ],
  ];
  for (const [story, change, type, condition] of cases)
    it(`say of ${story}: ${type} is ${condition}`, () => expect(of(change)[type]).to.equal(condition));

  it('tell what the credentials say of themselves, unless the target does not know them', () => {
    const credentials = { status: 'True', reason: 'RenewalFailed', message: 'until tomorrow' } as const;
    const [said] = linkConditions({ problem: undefined, peer: peerFacts(), credentials }, 1);
    expect(said).to.include(credentials);
    const peer = peerFacts({ apiError: Object.assign(new Error('no'), { status: 401 }) });
    const [rejected] = linkConditions({ problem: undefined, peer, credentials }, 1);
    expect(rejected).to.include({ status: 'False', reason: 'CredentialsRejected' });
    const expired = { status: 'False', reason: 'CredentialsExpired', message: 'yesterday' } as const;
    expect(linkConditions({ problem: undefined, peer, credentials: expired }, 1)[0]).to.include(expired);
  });

  it('give the command that accepts a replaced cluster', () => {
    const peer = peerFacts({ mirrors: withReasons('DropHeld'), replacedBy: 'uid-2' });
    const synced = linkConditions({ problem: undefined, peer }, 1).find(({ type }) => type === 'Synced');
    expect(synced?.message).to.contain(
      'kubectl -n links annotate link west --overwrite linkspan.dev/accept-cluster=uid-2',
    );
  });

  it('name the trouble of a Link that cannot run, and call the rest unknown', () => {
    const problem = new LinkspanError('LINK_INVALID', 'spec.gatewayPort is no port');
    const [first, ...others] = linkConditions({ problem, peer: undefined }, 1);
    expect(first).to.include({ type: 'CredentialsValid', status: 'False', reason: 'InvalidLink' });
    expect(others.map(({ status }) => status)).to.deep.equal(['Unknown', 'Unknown', 'Unknown']);
  });
});

describe('lists of Services in a Link’s status', () => {
  it('have the shape that Linkerd writes', () => {
    const [mirrored, failed] = statusesOf(
      outcomesOf(['demo/web', {}], ['demo/lost', { reason: 'MissingNamespace', local: 'lost-west' }]),
    ).toReversed();
    expect(mirrored).to.deep.equal({
      controllerName: 'linkerd.io/service-mirror',
      remoteRef: { group: 'core', kind: 'Service', namespace: 'demo', name: 'web' },
      conditions: [
        {
          type: 'Mirrored',
          status: 'True',
          reason: 'Mirrored',
          message: '',
          lastTransitionTime: '2026-01-01T00:00:00Z',
          localRef: { group: 'core', kind: 'Service', namespace: 'demo', name: 'web-west' },
        },
      ],
    });
    expect(failed?.conditions?.[0]).to.include({ status: 'False', message: 'Namespace does not exist' });
    expect(failed?.conditions?.[0]).not.to.have.property('localRef');
  });

  it('stay small for 5,000 Services, and show those in trouble first', () => {
    const outcomes = new Map<string, Outcome>();
    for (let index = 0; index < 5000; index++) outcomes.set(`demo/service-with-a-name-${index}`, outcome());
    outcomes.set('zzz/broken', outcome({ reason: 'NameConflict' }));
    const list = statusesOf(outcomes);
    expect(list).to.have.length(MAX_LISTED);
    expect(list[0]?.remoteRef.name).to.equal('broken');
    expect(JSON.stringify(list).length).to.be.below(300_000);
  });
});

describe('the writer of a Link’s status', () => {
  const object = (status?: LinkStatus): LinkObject => ({
    metadata: { name: 'west', namespace: 'links', generation: 1 },
    ...(status === undefined ? {} : { status }),
  });

  function start() {
    const clock = new VirtualClock();
    const patches: { status: LinkStatus }[] = [];
    let failing = false;
    const local = {
      patch: async (_: unknown, __: unknown, body: { status: LinkStatus }) => {
        await Promise.resolve();
        if (failing) throw new Error('not now');
        patches.push(structuredClone(body));
      },
    } as unknown as KubeClient;
    const { log, lines } = captureLog();
    const writer = new LinkStatusWriter({ local, clock, log });
    return { clock, patches, writer, lines, fail: (on: boolean) => (failing = on) };
  }

  const peerOf = (change: Partial<PeerFacts> & { depth?: number } = {}) =>
    ({
      ...peerFacts(change),
      depth: change.depth ?? 0,
      mirrorCount: 1,
      clusterUid: 'uid-1',
    }) as unknown as TargetCluster;

  // It was told at debug, for ever: conditions stood still and nobody knew.
  it('says once in a row that it cannot be written, and counts each time', async () => {
    const { writer, clock, fail, lines } = start();
    const said = () => lines.filter(({ level }) => level === 'warn').length;
    const write = async (mirrorCount: number) => {
      await clock.advance(20_000);
      const peer = { ...peerOf(), mirrorCount } as unknown as TargetCluster;
      await writer.write(object(), { problem: undefined, peer });
    };
    fail(true);
    await write(1);
    await write(2);
    expect([said(), writer.failures]).to.deep.equal([1, 2]);
    fail(false);
    await write(3);
    fail(true);
    await write(4);
    expect([said(), writer.failures]).to.deep.equal([2, 3]);
  });

  // What to write could not even be found out: a rejection that nobody heard, each second.
  it('sees also that it cannot be made, and that it can again', async () => {
    const { writer, patches, lines } = start();
    const broken = {
      ...peerOf(),
      get mirrorCount(): number {
        throw new TypeError('a bug');
      },
    };
    await writer.write(object(), { problem: undefined, peer: broken as unknown as TargetCluster });
    expect([writer.failures, writer.failure?.message]).to.deep.equal([1, 'a bug']);
    expect(lines.map(({ msg }) => msg)).to.deep.equal(['link status not written, trying again']);
    await writer.write(object(), { problem: undefined, peer: peerOf() });
    expect([patches.length, writer.failure]).to.deep.equal([1, undefined]);
  });

  it('has nothing to say any more when what could not be written is what stands there', async () => {
    const { writer, fail, clock } = start();
    await writer.write(object(), { problem: undefined, peer: peerOf() });
    fail(true);
    await clock.advance(20_000);
    await writer.write(object(), { problem: undefined, peer: peerOf({ gateway: undefined }) });
    expect(writer.failure?.message).to.equal('not now');
    await writer.write(object(), { problem: undefined, peer: peerOf() });
    expect(writer.failure).to.equal(undefined);
  });

  it('writes everything in one patch, and nothing again while nothing changes', async () => {
    const { writer, patches, clock } = start();
    const peer = peerOf();
    await writer.write(object(), { problem: undefined, peer });
    await clock.advance(1000);
    await writer.write(object(), { problem: undefined, peer });
    expect(patches).to.have.length(1);
    expect(patches[0]?.status).to.include({ mirrorCount: 1, targetClusterUID: 'uid-1' });
    expect(patches[0]?.status.mirrorServices).to.have.length(1);
    expect(
      patches[0]?.status.federatedServices,
      'an empty list is written, or the last entry would stay',
    ).to.deep.equal([]);
  });

  it('counts each change of a verdict that it has written, and none that it found', async () => {
    const first = start();
    await first.writer.write(object(), { problem: undefined, peer: peerOf() });
    const { writer, clock, fail } = start();
    const standing = object(first.patches[0]?.status);
    const counted = () =>
      [...writer.transitions].map(({ condition, status, reason, count }) => [
        condition,
        status,
        reason,
        count,
      ]);
    await writer.write(standing, { problem: undefined, peer: peerOf() });
    expect(counted()).to.deep.equal([]);
    const away = peerOf({ apiError: new Error('refused') });
    for (const peer of [away, peerOf(), away]) {
      await clock.advance(20_000);
      await writer.write(standing, { problem: undefined, peer });
    }
    fail(true);
    await writer.write(standing, { problem: undefined, peer: peerOf() });
    expect(counted()).to.deep.include.members([
      ['APIReachable', 'False', 'Unreachable', 2],
      ['APIReachable', 'True', 'Connected', 1],
    ]);
    expect(counted().filter(([condition]) => condition === 'GatewayAlive')).to.deep.equal([]);
  });

  it('writes nothing over a restart that finds all as it was', async () => {
    const first = start();
    await first.writer.write(object(), { problem: undefined, peer: peerOf() });
    const second = start();
    await second.clock.advance(3_600_000);
    // The new process has looked at everything anew, an hour later.
    const later = peerOf({
      mirrors: { reconciler: { outcomes: outcomesOf(['demo/web', { since: second.clock.now() }]) } },
    });
    await second.writer.write(object(first.patches[0]?.status), { problem: undefined, peer: later });
    expect(second.patches).to.deep.equal([]);
  });

  // That a link had gone down was in its status, and in no log.
  it('logs each condition that changes, once, and no word about those that stay', async () => {
    const { writer, clock, lines } = start();
    const said = () =>
      lines
        .splice(0)
        .filter(({ level }) => level === 'info')
        .map(({ msg, condition, status, reason }) => [msg, condition, status, reason]);
    const write = async (change: Partial<PeerFacts>) => {
      await clock.advance(20_000);
      await writer.write(object(), { problem: undefined, peer: peerOf(change) });
    };
    await write({});
    expect(said().map(([, condition]) => condition)).to.include.members(['GatewayAlive', 'Synced']);
    await write({});
    expect(said()).to.deep.equal([]);
    await write({ gateway: { facts: aliveGateway({ path: 'dead' }), probed: true, reports: [] } });
    const dead = ['link condition changed', 'GatewayAlive', 'False', 'ProbesFailed'];
    expect(said()).to.deep.equal([dead]);
  });

  it('waits until a peer that has just started knows where it stands, but not for ever', async () => {
    const { writer, patches, clock } = start();
    const peer = peerOf({ depth: 7, busy: true });
    await writer.write(object(), { problem: undefined, peer });
    expect(patches).to.deep.equal([]);
    await clock.advance(5000);
    await writer.write(object(), { problem: undefined, peer });
    expect(patches[0]?.status.conditions?.find(({ type }) => type === 'Synced')?.reason).to.equal(
      'Mirroring',
    );
  });

  it('says at once what the gateway asks for, and nothing of it before it asks for anything', async () => {
    const { writer, patches, clock } = start();
    const drain = { to: 0, start: 0, rampMs: 1000, until: 5000, drill: false };
    const asking = (depth: number, its?: typeof drain) => {
      const { gateway } = peerFacts();
      return peerOf({ depth, gateway: { ...gateway, drain: its } as unknown as PeerFacts['gateway'] });
    };
    const calm = asking(0);
    await writer.write(object(), { problem: undefined, peer: calm });
    expect(patches[0]?.status).not.to.have.property('gatewayDrain');
    const busy = asking(7, drain);
    await clock.advance(5000);
    await writer.write(object(), { problem: undefined, peer: busy });
    await clock.advance(5000);
    await writer.write(object(), { problem: undefined, peer: busy });
    expect(patches[1]?.status.gatewayDrain).to.equal(writeDrain(drain));
    await writer.write(object(), { problem: undefined, peer: asking(0) });
    expect(patches[2]?.status.gatewayDrain).to.equal('');
    await writer.write(object(), { problem: undefined, peer: asking(0) });
    expect(patches).to.have.length(3);
  });

  it('tries again what could not be written', async () => {
    const { writer, patches, fail } = start();
    const peer = peerOf();
    fail(true);
    await writer.write(object(), { problem: undefined, peer });
    fail(false);
    await writer.write(object(), { problem: undefined, peer });
    expect(patches).to.have.length(1);
  });

  it('keeps what is said of mirrors while the Link cannot run', async () => {
    const { writer, patches } = start();
    const problem = new LinkspanError('CREDENTIALS_MISSING', 'there is no Secret');
    await writer.write(object(), { problem, peer: undefined });
    expect(patches[0]?.status).not.to.have.property('mirrorServices');
  });
});

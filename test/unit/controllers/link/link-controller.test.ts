import type { V1Secret, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { EXPORTED_LABEL, TOKEN_TTL } from '../../../../src/api/names.ts';
import type { CredentialsFacts } from '../../../../src/controllers/link/credentials-verdict.ts';
import type { PeerFacts } from '../../../../src/controllers/link/link-conditions.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';
import { LinkStatusWriter } from '../../../../src/controllers/link/link-status-writer.ts';
import { accessFromSecret } from '../../../../src/linking/credentials.ts';
import { LinkWorld } from '../../../support/link-world.ts';
import { serviceAccountToken } from '../../../support/tokens.ts';

const DAY = 86_400_000;
/** Of a token. */
const LIFE = 3_600_000;
const MIRRORED = 'mirror.linkerd.io/mirrored-service=true';

/** Something that the status shows: what changes it, and what the status must say then. */
interface Fact {
  /** How many Services are exported; default 12. */
  readonly exported?: number;
  /** Before the Link has come to rest. */
  readonly given?: (world: LinkWorld) => void;
  readonly change: (world: LinkWorld) => void | Promise<void>;
  /** How long it may take, milliseconds; default 2500. */
  readonly withinMs?: number;
  /** What it says then is what it said before. */
  readonly restores?: boolean;
  readonly says: (world: LinkWorld) => void;
}

/** Everything that a status is made from. What is added there does not compile before it has a row here. */
type FactName =
  | Exclude<keyof PeerFacts, 'link'>
  | keyof CredentialsFacts
  | 'mirrorCount'
  | 'clusterUid'
  | 'problem'
  | 'generation'
  | 'status';

const says = (type: string, pattern: RegExp) => (world: LinkWorld) =>
  expect(world.condition(type)).to.match(pattern);
const entry = (world: LinkWorld, list: 'mirrorServices' | 'federatedServices', name: string) =>
  world.status?.[list]?.find(({ remoteRef }) => remoteRef.name === name)?.conditions?.[0]?.reason;
const kubernetes = (world: LinkWorld, uid: string) =>
  world.target.put('services', { metadata: { name: 'kubernetes', namespace: 'default', uid } });
const ends = (world: LinkWorld) => {
  world.target.cutWatches();
  world.target.compact();
};

const facts: Readonly<Record<FactName, readonly Fact[]>> = {
  synced: [
    {
      given: (world) => (world.target.listError = new Error('not yet')),
      change: (world) => void (world.target.listError = undefined),
      withinMs: 40_000,
      says: says('Synced', /^True AllMirrored/),
    },
  ],
  apiError: [
    {
      change: (world) => {
        world.target.listError = new Error('nobody there');
        ends(world);
      },
      says: says('APIReachable', /^False Unreachable: .*nobody there/),
    },
    {
      given: (world) => (world.target.listError = new Error('nobody there')),
      change: (world) => void (world.target.listError = Object.assign(new Error('no'), { status: 403 })),
      withinMs: 40_000,
      says: says('APIReachable', /^False Forbidden/),
    },
    {
      change: (world) => void (world.away = new Error('silence')),
      withinMs: 14_000,
      says: says('APIReachable', /^False Unreachable: .*silence/),
    },
  ],
  overBudget: [
    {
      change: (world) => {
        for (let at = 0; at < 8; at++)
          world.target.put('services', {
            metadata: {
              name: `own-${at}`,
              namespace: 'demo',
              uid: 'u',
              labels: { [EXPORTED_LABEL]: 'true' },
            },
            spec: { ports: [{ port: 80 }] },
          } as V1Service);
      },
      says: says('Synced', /^False OverBudgetWatches/),
    },
    {
      change: (world) => {
        for (let at = 0; at < 40; at++) world.export(`more-${at}`);
      },
      says: says('Synced', /^False OverBudgetServices: parked/),
    },
  ],
  gateway: [
    {
      exported: 0,
      change: (world) => world.gateway('dead', 'refused'),
      says: says('GatewayAlive', /^False ProbesFailed: .*refused/),
    },
    {
      change: (world) => world.gateway('dead', 'refused'),
      says: says('GatewayAlive', /^False ProbesFailed: .*refused/),
    },
    {
      given: (world) => world.gateway('dead', 'refused'),
      change: (world) => world.gateway('dead', 'no route'),
      says: says('GatewayAlive', /^False ProbesFailed: .*no route/),
    },
  ],
  mirrors: [
    {
      change: (world) => {
        world.source.put('services', { metadata: { name: 'mine-west', namespace: 'demo', uid: 'mine' } });
        world.export('mine');
      },
      says: (world) => expect(entry(world, 'mirrorServices', 'mine')).to.equal('NameConflict'),
    },
    {
      change: (world) => world.target.remove('services', 'demo', 's0'),
      says: (world) => expect(entry(world, 'mirrorServices', 's0')).to.equal(undefined),
    },
  ],
  federated: [
    {
      change: (world) => world.export('shared', { 'mirror.linkerd.io/federated': 'member' }),
      says: (world) => expect(entry(world, 'federatedServices', 'shared')).to.equal('Mirrored'),
    },
  ],
  busy: [
    {
      change: (world) => {
        world.hold();
        world.export('slow');
      },
      says: says('Synced', /^False Mirroring/),
    },
    {
      change: async (world) => {
        world.hold();
        world.export('slow');
        await world.clock.advance(5000);
        says('Synced', /^False Mirroring/)(world);
        world.release();
      },
      restores: true,
      says: says('Synced', /^True AllMirrored/),
    },
  ],
  replacedBy: [
    {
      change: (world) => {
        kubernetes(world, 'another');
        for (let at = 0; at < 12; at++) world.target.remove('services', 'demo', `s${at}`);
        ends(world);
      },
      says: says('Synced', /^False ClusterReplaced/),
    },
  ],
  mirrorCount: [
    {
      // The watch brings it long after it was written: nothing is decided then, but one more is there.
      change: async (world) => {
        world.source.hold(MIRRORED);
        world.export('late');
        await world.clock.advance(5000);
        expect(entry(world, 'mirrorServices', 'late')).to.equal('Mirrored');
        world.source.release(MIRRORED);
      },
      says: (world) => expect(world.status?.mirrorCount).to.equal(13),
    },
    {
      change: (world) => {
        world.hold();
        world.source.remove('services', 'demo', 's0-west');
      },
      withinMs: 14_000,
      says: (world) => expect(world.status?.mirrorCount).to.equal(11),
    },
  ],
  clusterUid: [
    {
      given: (world) => world.holdReads(),
      change: (world) => world.release(),
      says: (world) => expect(world.status?.targetClusterUID).to.equal('first'),
    },
  ],
  expiry: [
    {
      given: (world) => world.secret(10 * DAY),
      change: (world) => world.secret(20 * DAY),
      says: (world) => {
        const date = new Date(world.clock.now() + 20 * DAY).toISOString().slice(0, 10);
        says('CredentialsValid', new RegExp(`^True Accepted: .*until ${date}`))(world);
      },
    },
    {
      given: (world) => world.secret(LIFE),
      change: (world) => world.clock.advance((LIFE * 2) / 3 - 60_000),
      withinMs: 60_000,
      says: says('CredentialsValid', /^True CredentialsExpiring/),
    },
    {
      given: (world) => world.secret(LIFE),
      change: (world) => world.clock.advance(LIFE - 60_000),
      withinMs: 60_000,
      says: says('CredentialsValid', /^False CredentialsExpired/),
    },
  ],
  renewed: [
    {
      given: (world) => world.secret(LIFE),
      change: async (world) => {
        await world.clock.advance(LIFE * 0.7);
        says('CredentialsValid', /^True CredentialsExpiring/)(world);
        world.secret(LIFE, { [TOKEN_TTL]: '1h' });
      },
      restores: true,
      says: says('CredentialsValid', /^True Accepted/),
    },
  ],
  renewalError: [
    {
      given: (world) => world.secret(LIFE, { [TOKEN_TTL]: '1h' }),
      change: (world) => world.clock.advance((LIFE * 2) / 3),
      says: says('CredentialsValid', /^True RenewalFailed: .*no token for you/),
    },
  ],
  problem: [
    {
      change: (world) => world.noSecret(),
      withinMs: 10_000,
      says: says('CredentialsValid', /^False SecretNotFound/),
    },
  ],
  generation: [
    {
      change: (world) => world.link({ metadata: { generation: 7 } }),
      says: (world) => expect(world.status?.conditions?.[0]?.observedGeneration).to.equal(7),
    },
  ],
  status: [
    // What another replica, or a person, had written over ours stayed for as long as nothing else changed.
    {
      change: (world) => {
        world.link({ status: { mirrorCount: 77 } });
        expect(world.status?.mirrorCount).to.equal(77);
      },
      restores: true,
      says: (world) => {
        expect(world.status?.mirrorCount).to.equal(12);
        says('Synced', /^True AllMirrored/)(world);
      },
    },
    {
      change: (world) => {
        world.link({ metadata: { uid: 'anew' }, status: {} });
        expect(world.status).to.deep.equal({});
      },
      restores: true,
      says: says('Synced', /^True AllMirrored/),
    },
  ],
};

describe('the status of a Link', () => {
  let world: LinkWorld;
  let workedOut: number;
  let restore: () => void;

  beforeEach(() => {
    workedOut = 0;
    const { prototype } = LinkStatusWriter;
    const write = Object.getOwnPropertyDescriptor(prototype, 'write');
    const original = write?.value as (...all: unknown[]) => unknown;
    Object.defineProperty(prototype, 'write', {
      ...write,
      value(this: LinkStatusWriter, ...all: unknown[]) {
        workedOut++;
        return original.apply(this, all);
      },
    });
    restore = () => void Object.defineProperty(prototype, 'write', write ?? {});
  });

  afterEach(async () => {
    restore();
    await world.stop();
  });

  async function rest(exported: number, given?: Fact['given'], held = {}): Promise<void> {
    world = new LinkWorld({ held });
    kubernetes(world, 'first');
    for (let at = 0; at < exported; at++) world.export(`s${at}`);
    world.secret();
    given?.(world);
    world.link();
    await world.clock.advance(15_000);
  }

  // Each Link's status was worked out each second and compared with what was written last.
  it('is not worked out while nothing changes, and once for a change, of which it writes one entry anew', async function () {
    await rest(2000);
    expect(world.status?.mirrorCount).to.equal(2000);
    expect(world.condition('Synced')).to.match(/^True AllMirrored/);
    const [calm, writes] = [workedOut, world.written.length];
    await world.clock.advance(3_600_000);
    expect([workedOut - calm, world.written.length - writes]).to.deep.equal([0, 0]);
    world.target.remove('endpointslices', 'demo', 's0');
    world.target.put('endpointslices', {
      metadata: {
        name: 's0',
        namespace: 'demo',
        labels: { [EXPORTED_LABEL]: 'true', 'kubernetes.io/service-name': 's0' },
      },
      endpoints: [],
    } as V1Service);
    const known = new Set(world.written.at(-1)?.mirrorServices);
    await world.clock.advance(60_000);
    expect([workedOut - calm, world.written.length - writes]).to.deep.equal([1, 1]);
    const anew = (world.written.at(-1)?.mirrorServices ?? []).filter((one) => !known.has(one));
    expect(anew.map(({ remoteRef }) => remoteRef.name)).to.deep.equal(['s0']);
  });

  it('is tried again with back-off while it cannot be written, and says so', async () => {
    await rest(2);
    world.refusal = new Error('not now');
    world.gateway('dead', 'refused');
    await world.clock.advance(60_000);
    expect(world.controller.statusFailures).to.be.within(5, 10);
    expect(world.controller.statusFailure?.message).to.equal('not now');
    world.refusal = undefined;
    await world.clock.advance(31_000);
    expect(world.controller.statusFailure).to.equal(undefined);
    expect(world.condition('GatewayAlive')).to.match(/^False ProbesFailed/);
  });

  // A replica that had lost its Lease while a write failed said for ever that the status is not written.
  it('is no longer what this replica complains about when another one writes it', async () => {
    await rest(2);
    world.refusal = new Error('not now');
    world.gateway('dead', 'refused');
    await world.clock.advance(10_000);
    expect(world.controller.statusFailure?.message).to.equal('not now');
    world.loseLease();
    await world.clock.advance(60_000);
    expect(world.controller.peer, 'the Lease is lost').to.equal(undefined);
    expect(world.controller.statusFailure).to.equal(undefined);
  });

  // A Link that was deleted while its status could not be written was said to be unwritten until it was gone.
  it('is nothing that is missing of a Link that is deleted', async () => {
    await rest(2);
    world.refusal = new Error('not now');
    world.gateway('dead', 'refused');
    await world.clock.advance(10_000);
    const deleted = world.controller.update(undefined, world.secrets, undefined);
    await world.clock.advance(1000);
    await deleted;
    expect(world.controller.statusFailure).to.equal(undefined);
  });

  // Of a Link that cannot be used and names no gateway, each replica wrote the status, Lease or not: two of
  // different versions, as in an upgrade, wrote over each other's words each second.
  it('of a Link that cannot be used is written by one replica, too', async () => {
    world = new LinkWorld();
    world.loseLease();
    const spec = { targetClusterName: 'west', clusterCredentialsSecret: 'west', selector: {} };
    world.link({ spec } as Partial<LinkObject>);
    await world.clock.advance(60_000);
    expect([world.controller.leader, world.written]).to.deep.equal([false, []]);
    await world.clock.advance(3_600_000);
    expect(world.controller.leader).to.equal(true);
    expect(world.condition('CredentialsValid')).to.match(/^False SecretNotFound/);
    expect(world.written).to.have.length(1);
  });

  describe('follows each fact that it shows', () => {
    for (const [name, rows] of Object.entries(facts))
      rows.forEach(({ exported = 12, given, change, withinMs = 2500, restores = false, says: said }, at) =>
        it(`${name}, ${at + 1}`, async () => {
          await rest(exported, given, name === 'overBudget' ? { services: 30, watches: 4 } : {});
          if (!restores) expect(() => said(world), 'it says so already').to.throw();
          await change(world);
          await world.clock.advance(withinMs);
          said(world);
          const writes = world.written.length;
          await world.clock.advance(1000);
          expect(world.written.length - writes, 'writes that say the same again').to.be.at.most(1);
        }),
      );
  });
});

describe('the token of a Link', () => {
  // Its renewal wrote over the version that it had seen first: a label on the Secret ended renewals for ever.
  it('is renewed also when something else of its Secret has changed', async () => {
    const world = new LinkWorld();
    world.secret(LIFE, { [TOKEN_TTL]: '1h' });
    world.link();
    await world.clock.advance(15_000);
    const before = world.source.all<V1Secret>('secrets').get('ns/west') ?? {};
    world.source.put('secrets', { ...before, metadata: { ...before.metadata, labels: { team: 'blue' } } });
    const issuedAt = world.clock.now() + (LIFE * 2) / 3;
    world.grant = serviceAccountToken({ issuedAt, expiresAt: issuedAt + LIFE });
    await world.clock.advance(LIFE * 0.7);
    const after = world.source.all<V1Secret>('secrets').get('ns/west') ?? {};
    expect(accessFromSecret(after).bearer).to.equal(world.grant);
    expect(after.metadata?.labels).to.deep.equal({ team: 'blue' });
    await world.stop();
  });

  // The end of a token is its issuer's word; one beyond all dates ended the status, and `linkspan mirrors`.
  it('may name an end that is no date: it counts as without one', async () => {
    const world = new LinkWorld();
    world.secret(1e20);
    world.link();
    await world.clock.advance(15_000);
    expect(world.condition('CredentialsValid')).to.match(/^True Accepted/);
    expect(world.controller.expiry).to.equal(undefined);
    await world.stop();
  });
});

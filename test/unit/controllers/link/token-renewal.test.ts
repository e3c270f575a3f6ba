import type { V1Secret } from '@kubernetes/client-node';
import { expect } from 'chai';
import { stringify } from 'yaml';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { accessFromSecret } from '../../../../src/linking/credentials.ts';
import {
  tokenRenewalDelayMs,
  renewalWish,
  TokenRenewal,
} from '../../../../src/controllers/link/token-renewal.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { serviceAccountToken } from '../../../support/tokens.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const START = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function secretWith(
  token: string,
  annotations: Record<string, string> = { 'linkspan.dev/token-ttl': '24h' },
): V1Secret {
  const kubeconfig = stringify({
    'current-context': 'west',
    clusters: [{ name: 'west', cluster: { server: 'https://10.0.0.1:6443' } }],
    contexts: [{ name: 'west', context: { cluster: 'west', user: 'mirror' } }],
    users: [{ name: 'mirror', user: { token } }],
  });
  return {
    type: 'mirror.linkerd.io/remote-kubeconfig',
    metadata: { name: 'cluster-credentials-west', namespace: 'links', resourceVersion: '7', annotations },
    data: { kubeconfig: Buffer.from(kubeconfig).toString('base64') },
  };
}
const tokenOf = (secret: V1Secret) => accessFromSecret(secret).bearer;

/** A target that grants tokens by its own clock, and the source's API server that takes the Secret. */
class World {
  readonly clock = new VirtualClock(START);
  readonly asked: { path: string; seconds: number }[] = [];
  readonly stored: V1Secret[] = [];
  /** How far the target's clock is from ours. */
  skewMs = 0;
  grantMs: number | undefined;
  refuse: { status: number; until: number } | undefined;
  conflict = false;
  readonly renewal: TokenRenewal;

  constructor() {
    const remote: Pick<KubeClient, 'createUnder'> = {
      createUnder: (_resource, ref, subresource, body) => {
        const { expirationSeconds } = (body as unknown as { spec: { expirationSeconds: number } }).spec;
        this.asked.push({
          path: `${ref.namespace ?? ''}/${ref.name}/${subresource}`,
          seconds: expirationSeconds,
        });
        if (this.refuse !== undefined && this.clock.now() < this.refuse.until)
          return Promise.reject(statusError(this.refuse.status, 'no', 'POST token', undefined));
        return Promise.resolve({ ...body, status: { token: this.grant(expirationSeconds * 1000) } });
      },
    };
    const local: Pick<KubeClient, 'patch'> = {
      patch: (_resource, _ref, patch) => {
        if (this.conflict) return Promise.reject(statusError(409, 'changed', 'PATCH secret', undefined));
        const { metadata, data } = patch as V1Secret;
        expect(metadata?.resourceVersion).to.equal('7');
        const written = { ...secretWith(''), data: data ?? {} };
        this.stored.push(written);
        return Promise.resolve(written as never);
      },
    };
    const { clock } = this;
    const { log } = captureLog();
    const renewal = {
      remote: remote as KubeClient,
      local,
      clock,
      random: () => 0,
      log,
      onState: () => undefined,
    };
    this.renewal = new TokenRenewal(renewal);
  }

  grant(lifeMs: number): string {
    const issuedAt = this.clock.now() + this.skewMs;
    return serviceAccountToken({
      issuedAt,
      expiresAt: issuedAt + Math.min(lifeMs, this.grantMs ?? lifeMs),
      account: 'mc:mirror',
    });
  }
}

describe('renewal of a token', () => {
  let world: World;
  beforeEach(() => (world = new World()));
  afterEach(() => world.renewal.stop());

  it('comes at two thirds of its life, again and again, by the account itself', async () => {
    world.renewal.follow(secretWith(world.grant(24 * HOUR)));
    await world.clock.advance(16 * HOUR - 1);
    expect(world.asked).to.have.length(0);
    await world.clock.advance(1);
    expect(world.asked).to.deep.equal([{ path: 'mc/mirror/token', seconds: 86_400 }]);
    await world.clock.advance(32 * HOUR);
    expect(world.renewal.counts).to.deep.equal({ renewed: 3, failed: 0 });
  });

  it('keeps to what is granted where that is less than what was asked for', async () => {
    world.grantMs = HOUR;
    world.renewal.follow(secretWith(world.grant(HOUR)));
    await world.clock.advance(4 * HOUR);
    expect(world.renewal.counts.renewed).to.equal(6);
  });

  it('does not come at all where nobody asked for it', async () => {
    world.renewal.follow(secretWith(world.grant(HOUR), {}));
    await world.clock.advance(48 * HOUR);
    expect(world.asked).to.have.length(0);
    expect(world.renewal.active).to.equal(false);
  });

  it('replaces a token that never ends at once', async () => {
    world.renewal.follow(secretWith(serviceAccountToken({ issuedAt: START, account: 'mc:mirror' })));
    await world.clock.advance(1);
    expect(world.renewal.counts.renewed).to.equal(1);
  });

  it('is tried again with growing pauses until it works, and says why meanwhile', async () => {
    world.refuse = { status: 403, until: START + 17 * HOUR };
    world.renewal.follow(secretWith(world.grant(24 * HOUR)));
    await world.clock.advance(16 * HOUR + 30 * MINUTE);
    expect(world.renewal.error).to.have.property('code', 'TOKEN_REFUSED');
    // 5 s at first, 5 min at last: neither once an hour nor once a second.
    expect(world.renewal.counts.failed).to.be.within(8, 30);
    await world.clock.advance(HOUR);
    expect(world.renewal.error).to.equal(undefined);
    expect(world.renewal.counts.renewed).to.equal(1);
  });

  it('leaves a Secret alone that somebody else has changed meanwhile, and goes on with theirs', async () => {
    world.renewal.follow(secretWith(world.grant(HOUR)));
    world.conflict = true;
    await world.clock.advance(HOUR);
    expect(world.stored).to.have.length(0);
    expect(world.renewal.error).to.equal(undefined);
    world.conflict = false;
    world.renewal.follow(secretWith(world.grant(HOUR)));
    await world.clock.advance(50 * MINUTE);
    expect(world.stored).to.have.length(1);
  });

  it('is not taken for due for ever where the clocks are hours apart', async () => {
    // The target's clock is far behind ours: to us each of its tokens has expired when it comes.
    world.skewMs = -30 * HOUR;
    world.renewal.follow(secretWith(world.grant(24 * HOUR)));
    await world.clock.advance(1000);
    expect(world.renewal.counts.renewed).to.equal(1);
    // What was written comes back as a change of the Secret.
    const [written] = world.stored;
    if (written !== undefined) world.renewal.follow(written);
    await world.clock.advance(15 * HOUR);
    expect(world.renewal.counts.renewed).to.equal(1);
    await world.clock.advance(2 * HOUR);
    expect(world.renewal.counts.renewed).to.equal(2);
  });

  // A target that grants tokens without an end had a new one asked for, and written, without pause.
  it('pauses between tokens that have no life at all', async () => {
    let granted = 0;
    world.grant = () => {
      if (++granted > 500) throw new Error('more than anybody asks for');
      return serviceAccountToken({ issuedAt: world.clock.now(), account: 'mc:mirror' });
    };
    world.renewal.follow(secretWith(world.grant(HOUR)));
    await world.clock.advance(HOUR);
    expect(world.renewal.counts.renewed).to.be.within(1, 61);
    expect(world.stored).to.have.length(world.renewal.counts.renewed);
  });

  it('is not late where the target is ahead', () => {
    const wish = { issuedAt: START + 100 * HOUR, expiresAt: START + 124 * HOUR };
    expect(tokenRenewalDelayMs(wish, START)).to.equal(16 * HOUR);
  });

  it('ends with the term: nothing is asked for or written afterwards', async () => {
    world.renewal.follow(secretWith(world.grant(HOUR)));
    await world.renewal.stop();
    await world.clock.advance(2 * HOUR);
    expect(world.asked).to.have.length(0);
  });

  it('writes the token into the kubeconfig that is there', async () => {
    world.renewal.follow(secretWith(world.grant(HOUR)));
    await world.clock.advance(41 * MINUTE);
    const [written] = world.stored;
    const at = world.clock.now() - MINUTE;
    expect(tokenOf(written ?? {})).to.equal(
      serviceAccountToken({ issuedAt: at, expiresAt: at + 24 * HOUR, account: 'mc:mirror' }),
    );
    expect(accessFromSecret(written ?? {}).server).to.equal('https://10.0.0.1:6443');
  });

  describe('is refused with a reason', () => {
    const refused = (secret: V1Secret, why: RegExp) => {
      expect(() => renewalWish(secret)).to.throw(why);
      world.renewal.follow(secret);
      expect(world.renewal.error).to.have.property('code', 'CREDENTIALS_INVALID');
    };
    it('for a life that is none', () =>
      refused(secretWith('x', { 'linkspan.dev/token-ttl': 'long' }), /"long" as linkspan.dev\/token-ttl/));
    it('for a life that is too short for any API server', () =>
      refused(secretWith('x', { 'linkspan.dev/token-ttl': '5m' }), /at least 10m/));
    it("for a token that is no account's", () => refused(secretWith('opaque'), /not a service account's/));
    it('for a kubeconfig without a token', () => refused(secretWith(''), /holds no token/));
  });
});

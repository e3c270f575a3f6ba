import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { DropConfirmation } from '../../../../src/controllers/removals/drop-confirmation.ts';
import { DropGuard } from '../../../../src/controllers/removals/drop-guard.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

/**
 * An emptied etcd answers a second list as emptily as the first: only the cluster's identity tells it from an
 * intended unexport.
 */
describe('confirmation of held removals', () => {
  function start(
    options: { knownUid?: string; acceptedUid?: string; exported?: string[]; witness?: V1Service } = {},
  ) {
    const clock = new VirtualClock();
    const target = new FakeCluster();
    const guard = new DropGuard({ fraction: 0.5 });
    for (let index = 0; index < 20; index++) guard.note(`demo/s${index}`, true, 'absent');
    for (const name of options.exported ?? [])
      target.put('services', { metadata: { name, namespace: 'demo', labels: { exported: 'true' } } });
    const confirmed: string[] = [];
    const told: string[] = [];
    const stop = new AbortController();
    const confirmation = new DropConfirmation({
      onIdentity: () => undefined,
      remote: target.client,
      guard,
      selectors: ['exported=true'],
      claimsOf: ({ metadata }) => [`${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`],
      witness: () => options.witness,
      knownUid: options.knownUid,
      acceptedUid: options.acceptedUid,
      // As the writers do: what is not held is removed.
      reconsider: (claims) => {
        for (const claim of claims.filter((key) => !guard.held(key))) {
          confirmed.push(claim);
          guard.note(claim, false, 'absent');
        }
      },
      tell: (reason) => void told.push(reason),
      signal: stop.signal,
      clock,
      log: createLogger({ name: 'test', level: 'silent' }),
    });
    const is = (uid: string) =>
      target.put('services', { metadata: { name: 'kubernetes', namespace: 'default', uid } });
    return { clock, target, guard, confirmation, confirmed, told, is };
  }

  it('of the same cluster comes with a second list, for what is absent from that too', async () => {
    const exported = Array.from({ length: 12 }, (_, index) => `s${index}`);
    const { clock, confirmation, confirmed, told, is } = start({ knownUid: 'one', exported });
    is('one');
    confirmation.request();
    await clock.advance(10);
    expect(confirmed).to.have.length(8).and.not.include('demo/s3');
    expect(told).to.deep.equal(['DropHeld', 'DropConfirmed']);
  });

  it('of another cluster does not come by itself', async () => {
    const { clock, confirmation, confirmed, guard, told, is } = start({ knownUid: 'one' });
    is('two');
    confirmation.request();
    await clock.advance(600_000);
    expect(confirmed).to.deep.equal([]);
    expect(confirmation.replacedBy).to.equal('two');
    expect(confirmation.uid, 'the one to compare with stays').to.equal('one');
    expect(guard.holding).to.equal(true);
    expect(told.filter((reason) => reason === 'ClusterReplaced')).to.have.length(1);
  });

  it('comes when a person has accepted the other cluster', async () => {
    const { clock, confirmation, confirmed, is } = start({ knownUid: 'one', acceptedUid: 'two' });
    is('two');
    confirmation.request();
    await clock.advance(10);
    expect(confirmed).to.have.length(20);
    expect(confirmation.uid).to.equal('two');
  });

  it('is not needed when the exports are back, and the other cluster is the known one then', async () => {
    const { clock, confirmation, guard, is } = start({ knownUid: 'one' });
    is('two');
    confirmation.request();
    await clock.advance(10);
    for (let index = 0; index < 20; index++) guard.note(`demo/s${index}`, true, 'there');
    confirmation.recheck();
    await clock.advance(10);
    expect([confirmation.uid, confirmation.replacedBy]).to.deep.equal(['two', undefined]);
  });

  // Nothing tells a cluster that was never known from one that was rebuilt.
  for (const [where, known, now] of [
    ['cannot be read', 'one', undefined],
    ['was never known', undefined, 'two'],
  ] as const)
    it(`waits for the second list where the identity ${where}`, async () => {
      const { clock, confirmation, confirmed, is } = start(known === undefined ? {} : { knownUid: known });
      if (now !== undefined) is(now);
      confirmation.request();
      await clock.advance(29_000);
      expect(confirmed).to.deep.equal([]);
      await clock.advance(5000);
      expect(confirmed).to.have.length(20);
    });

  it('is tried again when the second list fails', async () => {
    const { clock, confirmation, confirmed, target, is } = start({ knownUid: 'one' });
    is('one');
    target.listError = new Error('not now');
    confirmation.request();
    await clock.advance(1000);
    expect(confirmed).to.deep.equal([]);
    target.listError = undefined;
    await clock.advance(15_000);
    expect(confirmed).to.have.length(20);
  });

  it('goes on until nothing is held that went absent during a list', async () => {
    const exported = Array.from({ length: 20 }, (_, index) => `s${index}`);
    const { clock, confirmation, confirmed, guard, target, is } = start({ knownUid: 'one', exported });
    is('one');
    confirmation.request();
    await clock.advance(10);
    expect(confirmed, 'the list still has them all').to.deep.equal([]);
    for (const name of exported) target.remove('services', 'demo', name);
    await clock.advance(1000);
    expect(confirmed).to.have.length(20);
    expect(guard.holding).to.equal(false);
  });

  it('lets go what little is left when the rest has come back meanwhile', async () => {
    const { clock, confirmation, confirmed, guard, is, target } = start({ knownUid: 'one' });
    is('one');
    target.listError = new Error('not now');
    confirmation.request();
    await clock.advance(1000);
    for (let index = 3; index < 20; index++) guard.note(`demo/s${index}`, true, 'there');
    await clock.advance(15_000);
    expect(confirmed).to.deep.equal(['demo/s0', 'demo/s1', 'demo/s2']);
  });

  // Its exports were there again before anybody looked at the guard: the Link said for ever that another
  // cluster had taken the target's place.
  it('is not needed when the known cluster itself is back', async () => {
    const { clock, confirmation, guard, is } = start({ knownUid: 'one' });
    is('two');
    confirmation.request();
    await clock.advance(10);
    expect(confirmation.replacedBy).to.equal('two');
    is('one');
    for (let index = 0; index < 20; index++) guard.note(`demo/s${index}`, true, 'there');
    await clock.advance(15_000);
    expect([confirmation.uid, confirmation.replacedBy]).to.deep.equal(['one', undefined]);
  });

  // The identity was read after the first list; wiped in between, the new cluster was taken for the known
  // one, and its empty list confirmed everything.
  it('does not take a cluster for the known one that has nothing of what is known', async () => {
    const witness = { metadata: { namespace: 'demo', name: 's0', uid: 'old' } };
    const { clock, confirmation, confirmed, guard, is, target } = start({ witness });
    for (let index = 0; index < 20; index++) guard.note(`demo/s${index}`, true, 'there');
    is('two');
    target.put('services', { metadata: { namespace: 'demo', name: 's0', uid: 'another' } });
    await confirmation.learn();
    expect(confirmation.uid).to.equal(undefined);
    // It was the next list that was late: here it is.
    target.put('services', { metadata: { namespace: 'demo', name: 's0', uid: 'old' } });
    await clock.advance(15_000);
    expect(confirmation.uid).to.equal('two');
    expect(confirmed).to.deep.equal([]);
  });

  // Identity, then list: wiped between the two, the list of the new cluster confirmed removals in the name of
  // the old one.
  it('does not come from a list during which the cluster was replaced', async () => {
    const { clock, confirmation, confirmed, is, target } = start({ knownUid: 'one' });
    is('one');
    let reads = 0;
    target.beforeCall = (verb) => {
      if (verb === 'get' && ++reads === 2) is('two');
    };
    confirmation.request();
    await clock.advance(60_000);
    expect(confirmed).to.deep.equal([]);
    expect(confirmation.replacedBy).to.equal('two');
  });
});

import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { systemClock } from '../../../../src/base/clock.ts';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import {
  type BoundAnchorsSource,
  openBoundConfigMap,
  openBoundFile,
  parseAnchorsFlag,
  withBoundAnchors,
} from '../../../../src/identity/trust/bound-anchors.ts';
import type { BoundAnchors, Identity, IdentitySource } from '../../../../src/identity/sources/identity.ts';
import { type Authority, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { accountIn, freeAuthority } from '../../../support/authorities.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { closedIn } from '../../../support/closed-in.ts';
import { eventually } from '../../../support/eventually.ts';
import { useTempDir } from '../../../support/temp-dir.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const EAST = 'east.cluster.local';
const WEST = 'west.cluster.local';

/** Sources whose state a test decides. */
class Fake {
  readonly #listeners = new Set<() => void>();
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
  tell(): void {
    for (const listener of this.#listeners) listener();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}
class FakeIdentity extends Fake implements IdentitySource {
  identity: Identity | undefined;
  ready = { ok: true, reason: '' };
  current(): Identity | undefined {
    return this.identity;
  }
}
class FakeAnchors extends Fake implements BoundAnchorsSource {
  bound: readonly BoundAnchors[] = [];
  problem = '';
  known = true;
  current(): readonly BoundAnchors[] {
    return this.bound;
  }
}

/**
 * Bindings come from another place than the identity, at another time. What is believed in between must never
 * be more than what is believed in the end.
 */
describe('an identity with anchors that are bound to domains', () => {
  const closed = closedIn(afterEach);
  const dir = useTempDir();
  let ours: Authority;
  let west: Authority;
  let base: FakeIdentity;
  let anchors: FakeAnchors;

  before(async () => {
    [ours, west] = await Promise.all([freeAuthority('ours'), freeAuthority('west')]);
  });
  beforeEach(async () => {
    base = new FakeIdentity();
    base.identity = await issueLeaf(ours, { identity: accountIn(EAST) });
    anchors = new FakeAnchors();
  });
  const open = (...sources: BoundAnchorsSource[]) =>
    closed(withBoundAnchors(base, sources, { clock: systemClock, log: captureLog().log }), (one) =>
      one.close(),
    );

  it('is none before it is known what is bound', () => {
    anchors.known = false;
    const source = open(anchors);
    expect(source.current()).to.equal(undefined);
    expect(source.ready).to.deep.equal({
      ok: false,
      reason: 'the trust anchors of other domains have not been read yet',
    });
    let told = 0;
    source.subscribe(() => told++);
    anchors.known = true;
    anchors.tell();
    expect(source.current()?.ca).to.equal(ours.ca);
    expect(source.ready.ok).to.equal(true);
    expect(told).to.equal(1);
  });

  it('has all anchors in its bundle, and says which are bound', () => {
    anchors.bound = [{ domain: WEST, pem: west.ca }];
    const current = open(anchors).current();
    expect(current?.ca).to.equal(ours.ca + west.ca);
    expect(current?.bound).to.deep.equal([{ domain: WEST, pem: west.ca }]);
  });

  it('follows both, and is the same object while nothing changes', async () => {
    const source = open(anchors);
    const first = source.current();
    base.tell();
    expect(source.current()).to.equal(first);
    anchors.bound = [{ domain: WEST, pem: west.ca }];
    anchors.tell();
    expect(source.current()?.bound).to.have.lengthOf(1);
    const renewed = await issueLeaf(ours, { identity: accountIn(EAST) });
    base.identity = renewed;
    base.tell();
    expect(source.current()?.cert).to.equal(renewed.cert);
    expect(source.current()?.bound).to.have.lengthOf(1);
    anchors.bound = [];
    anchors.tell();
    expect(source.current()?.ca).to.equal(ours.ca);
  });

  it('keeps the bindings that were good when it would not believe itself with those that come', async () => {
    anchors.bound = [{ domain: WEST, pem: west.ca }];
    const source = open(anchors);
    // Our own anchor bound to west: nobody could name us any more, ourselves included.
    anchors.bound = [{ domain: WEST, pem: ours.ca }];
    anchors.tell();
    expect(source.current()?.bound).to.deep.equal([{ domain: WEST, pem: west.ca }]);
    expect(source.ready.ok).to.equal(true);
    expect(source.ready.reason).to.contain('would not be believed');
    const renewed = await issueLeaf(ours, { identity: accountIn(EAST) });
    base.identity = renewed;
    base.tell();
    expect(source.current()?.cert).to.equal(renewed.cert);
    expect(source.current()?.bound).to.deep.equal([{ domain: WEST, pem: west.ca }]);
  });

  it('reads anchors from files; one that cannot be read keeps what was there, and one that never could binds the domain to nobody', async () => {
    const file = path.join(dir(), 'west.crt');
    const source = open(
      closed(await openBoundFile({ domain: WEST, file }, systemClock), (one) => one.close()),
    );
    expect(source.current()?.bound).to.deep.equal([{ domain: WEST, pem: '' }]);
    expect(source.ready.reason).to.contain('west.crt');
    writeFileSync(file, west.ca);
    await eventually('the anchor', () => source.current()?.bound?.[0]?.pem === west.ca);
    expect(source.ready.reason).to.equal('');
    writeFileSync(file, 'half of a');
    await eventually('the slip is told', () => source.ready.reason.includes('west.crt'));
    expect(source.current()?.bound).to.deep.equal([{ domain: WEST, pem: west.ca }]);
  });

  it('reads anchors from a ConfigMap: a slip in one key keeps what it held, and a key that goes takes its anchor along', async () => {
    const down = new LinkspanError('KUBE_UNREACHABLE', 'no connection');
    const key = `${WEST}.crt`;
    const lists = [
      down,
      { data: { [key]: west.ca, other: 'is no key of ours', 'Not!.crt': west.ca } },
      down,
      { data: { [key]: 'half of a' } },
      { data: { 'north.example.crt': 'half of a' } },
      undefined,
    ];
    const client = {
      list: () => {
        const next = lists.length > 1 ? lists.shift() : lists[0];
        if (next instanceof LinkspanError) return Promise.reject(next);
        return Promise.resolve({ items: next === undefined ? [] : [next], resourceVersion: '1' });
      },
      async *watch() {
        // Ends at once.
      },
    } as unknown as KubeClient;
    const clock = new VirtualClock();
    const ref = { namespace: 'ns', name: 'linkspan-anchors' };
    const source = closed(openBoundConfigMap({ client, ref, clock, random: () => 0.5 }), (one) =>
      one.close(),
    );
    const seen: string[] = [];
    source.subscribe(() => {
      const domains = source.current().map(({ domain, pem }) => (pem === west.ca ? domain : `${domain}!`));
      seen.push(`${source.known} ${domains.join()} ${source.problem}`);
    });
    await eventually('nothing is there any more', async () => {
      await clock.advance(500);
      return source.known && source.current().length === 0;
    });
    const where = 'ConfigMap ns/linkspan-anchors';
    const wrong = `${where}, Not!.crt: trust domain: "Not!" is not a valid name`;
    expect(seen).to.deep.equal([
      `false  ${where}: no connection`,
      `true ${WEST} ${wrong}`,
      `true ${WEST} ${where}: no connection`,
      `true ${WEST} ${where}, ${key}: no PEM block "CERTIFICATE" in it`,
      `true north.example! ${where}, north.example.crt: no PEM block "CERTIFICATE" in it`,
      'true  ',
    ]);
  });

  it('is asked for in one form for files and one for ConfigMaps', () => {
    expect(parseAnchorsFlag('west.cluster.local=/a=b.crt')).to.deep.equal({ domain: WEST, file: '/a=b.crt' });
    expect(parseAnchorsFlag('configmap:ns/name')).to.deep.equal({
      configMap: { namespace: 'ns', name: 'name' },
    });
    for (const bad of ['west', '=file', 'west=', 'configmap:ns', 'configmap:a/b/c', 'West!=x'])
      expect(() => parseAnchorsFlag(bad), bad).to.throw(LinkspanError);
  });
});

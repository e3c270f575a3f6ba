import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type FailoverDrain, writeDrain } from '../../../../src/api/failover/failover-drain.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';
import { DrainWatch } from '../../../../src/controllers/failover/drain-watch.ts';
import type { EventNote } from '../../../../src/kube/events/event-recorder.ts';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const HOUR = 3_600_000;

// A drain that came to its end at night told nobody, and neither did a target that asked to be left.
describe('Events of drains that nobody here has a hand in', () => {
  let clock: VirtualClock;
  let links: IndexedStore<LinkObject>;
  let services: IndexedStore<V1Service>;
  let notes: EventNote[];
  let isOurs: boolean;
  let watch: DrainWatch;

  beforeEach(() => {
    clock = new VirtualClock();
    links = new IndexedStore();
    services = new IndexedStore();
    notes = [];
    isOurs = true;
    link({});
    watch = begin();
  });
  afterEach(() => {
    watch.stop();
    expect(clock.pending).to.equal(0);
  });

  const begin = () =>
    new DrainWatch({
      links,
      services,
      clock,
      events: { record: (note) => void notes.push(note) },
      tellsOfLink: () => isOurs,
      tellsOfService: () => isOurs,
    });
  const drain = (lastsMs: number): FailoverDrain => ({
    to: 0,
    start: clock.now(),
    rampMs: 60_000,
    until: clock.now() + lastsMs,
    drill: false,
  });
  let version = 0;
  const link = ({
    here,
    asked,
    written = here && writeDrain(here),
  }: {
    here?: FailoverDrain;
    asked?: FailoverDrain;
    written?: string | undefined;
  }) =>
    links.set({
      metadata: {
        name: 'west',
        namespace: 'links',
        uid: 'l',
        resourceVersion: String(++version),
        ...(written !== undefined && { annotations: { 'linkspan.dev/drain': written } }),
      },
      spec: { targetClusterName: 'west' },
      status: { gatewayDrain: asked === undefined ? '' : writeDrain(asked) },
    } as LinkObject);
  const told = () => notes.map(({ regarding, reason }) => `${reason} ${regarding.kind} ${regarding.name}`);

  it('say that one has come to its end, once, and not what whoever began it has said', async () => {
    link({ here: drain(2 * HOUR) });
    await clock.advance(2 * HOUR - 1);
    expect(told()).to.deep.equal([]);
    await clock.advance(HOUR);
    expect(told()).to.deep.equal(['DrainDone Link west']);
    expect(notes[0]?.message).to.contain('has come to its end');
  });

  // A drain without an end, or with a percentage, did nothing, and nobody said so.
  it('say that one is wrong, and why, once for each slip', () => {
    link({ written: '{"to":0}' });
    link({ written: '{"to":0}', asked: drain(HOUR) });
    link({ written: '{"to":"0%"}', asked: drain(HOUR) });
    expect(told()).to.deep.equal([
      'AnnotationInvalid Link west',
      'DrainStarted Link west',
      'AnnotationInvalid Link west',
    ]);
    expect(notes[0]?.message).to.match(/^linkspan\.dev\/drain: "start" must be a time/);
    expect(notes[2]?.message).to.match(/^linkspan\.dev\/drain: "to" must be a number from 0 to 1/);
    link({ asked: drain(HOUR) });
    link({ written: '{"to":"0%"}', asked: drain(HOUR) });
    expect(told()).to.have.length(4);
  });

  it('do not say it of what stood there before, or of a Link of another replica', () => {
    link({ written: 'no' });
    notes = [];
    watch.stop();
    watch = begin();
    link({ written: 'no', asked: drain(HOUR) });
    isOurs = false;
    link({ written: 'neither' });
    expect(told()).to.deep.equal(['DrainStarted Link west']);
  });

  it('say nothing of one that somebody has ended, whose clock is another, or that was moved', async () => {
    const before = drain(2 * HOUR);
    link({ here: before });
    await clock.advance(1000);
    link({ here: { ...before, until: clock.now() + 3000 } });
    await clock.advance(HOUR);
    link({ here: drain(HOUR) });
    link({ here: drain(3 * HOUR) });
    await clock.advance(2 * HOUR);
    expect(told()).to.deep.equal([]);
    link({});
    expect(told()).to.deep.equal(['DrainDone Link west']);
    expect(notes[0]?.message).to.contain('taken away');
  });

  it('say that a gateway asks for one, and no longer', async () => {
    const asked = drain(2 * HOUR);
    link({ asked });
    expect(told()).to.deep.equal(['DrainStarted Link west']);
    expect(notes[0]?.message).to.match(/its gateway asks for it: drained to 0% over 1m, until 2026/);
    await clock.advance(1000);
    link({ asked: { ...asked, until: clock.now() } });
    link({});
    expect(told()).to.deep.equal(['DrainStarted Link west', 'DrainDone Link west']);
  });

  it('are about one Service where the drain is', async () => {
    const service = (annotations: Record<string, string>) =>
      services.set({
        metadata: {
          name: 'web-federated',
          namespace: 'shop',
          uid: 's',
          resourceVersion: String(++version),
          labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
          annotations: { 'multicluster.linkerd.io/remote-discovery': 'web@west', ...annotations },
        },
      });
    service({});
    service({ 'drain.linkspan.dev/west': writeDrain(drain(HOUR)) });
    await clock.advance(HOUR);
    expect(told()).to.deep.equal(['DrainDone Service web-federated']);
    expect(notes[0]?.message).to.contain('west in shop/web-federated');
  });

  it('are about a Service without selector, as whoever leads it sees it', async () => {
    let isStill = true;
    const apex = (annotations: Record<string, string>, ...clusters: string[]) => {
      const metadata = { name: 'checkout', namespace: 'shop', uid: 'c', annotations };
      watch.apex({ metadata }, new Set(clusters), () => isStill);
    };
    const both = (one: FailoverDrain) => ({
      'drain.linkspan.dev/west': writeDrain(one),
      'drain.linkspan.dev/north': writeDrain(one),
    });
    apex(both(drain(HOUR)), 'local', 'west');
    await clock.advance(HOUR);
    expect(notes.map(({ regarding, message }) => `${regarding.kind} ${message}`)).to.deep.equal([
      'Service the drain of west in shop/checkout has come to its end; its share comes back',
    ]);
    // Another replica leads it now, or nobody does.
    apex(both(drain(HOUR)), 'west');
    isStill = false;
    await clock.advance(HOUR);
    isStill = true;
    apex(both(drain(HOUR)), 'west');
    watch.apexGone('shop/checkout');
    await clock.advance(HOUR);
    expect(notes).to.have.length(1);
  });

  it('are written by one replica, and not again by one that starts', async () => {
    isOurs = false;
    link({ here: drain(HOUR), asked: drain(HOUR) });
    await clock.advance(HOUR);
    expect(told()).to.deep.equal([]);
    isOurs = true;
    link({ asked: drain(HOUR) });
    notes.length = 0;
    watch.stop();
    watch = begin();
    expect(told()).to.deep.equal([]);
    await clock.advance(HOUR);
    expect(told()).to.deep.equal(['DrainDone Link west']);
  });

  it('are none of a Link that goes', async () => {
    link({ here: drain(HOUR) });
    links.delete('links/west');
    await clock.advance(HOUR);
    expect(told()).to.deep.equal([]);
  });
});

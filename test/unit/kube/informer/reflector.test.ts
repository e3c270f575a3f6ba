import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { EventEmitter } from 'node:events';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { Reflector } from '../../../../src/kube/informer/reflector.ts';
import { services } from '../../../../src/api/kubernetes/resource.ts';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { useSurfaced } from '../../../support/surfaced.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const service = (name: string, resourceVersion: string): V1Service => ({
  metadata: { name, namespace: 'demo', uid: name, resourceVersion },
});

interface Event {
  readonly type: string;
  readonly object: V1Service;
}

/**
 * An API server whose watches say only what the test lets them say; a silent one stays open, as a half-dead
 * connection does.
 */
class QuietServer {
  readonly clock = new VirtualClock();
  readonly store = new IndexedStore<V1Service>();
  /** Versions that watches began at. */
  readonly watches: string[] = [];
  readonly changes = new EventEmitter();
  lists = 0;
  open = 0;
  /** resourceVersion of the newest write. */
  version = '1';
  /** What the next watches throw. */
  refusal: Error | undefined;
  /** Whether watches end by themselves at once. */
  short = false;
  readonly errors: unknown[] = [];
  readonly reflector: Reflector<V1Service>;

  constructor(silenceMs?: number) {
    this.reflector = new Reflector({
      client: {
        server: 'quiet',
        list: async (_: unknown, options: { fieldSelector?: string }) => {
          // Only the version is asked for, of an object that need not exist.
          if (options.fieldSelector !== undefined) return { items: [], resourceVersion: this.version };
          this.lists++;
          return { items: [service('a', '1')], resourceVersion: this.version };
        },
        watch: (_: unknown, options: { resourceVersion: string; signal: AbortSignal }) =>
          this.#watch(options),
      } as unknown as KubeClient,
      resource: services,
      store: this.store,
      clock: this.clock,
      random: () => 1,
      log,
      ...(silenceMs === undefined ? {} : { silenceMs }),
    });
    this.reflector.subscribe(() => {
      if (this.reflector.error !== undefined) this.errors.push(this.reflector.error);
    });
  }

  async start(): Promise<this> {
    this.reflector.start();
    await settle();
    return this;
  }

  async say(type: string, object: V1Service): Promise<void> {
    this.version = object.metadata?.resourceVersion ?? this.version;
    this.changes.emit('event', { type, object });
    await settle();
  }

  async *#watch({ resourceVersion, signal }: { resourceVersion: string; signal: AbortSignal }) {
    this.watches.push(resourceVersion);
    if (this.refusal !== undefined) throw this.refusal;
    if (this.short) return;
    const queue: Event[] = [];
    let wake = (): void => undefined;
    const onEvent = (event: Event) => {
      queue.push(event);
      wake();
    };
    const onAbort = () => wake();
    this.changes.on('event', onEvent);
    signal.addEventListener('abort', onAbort);
    this.open++;
    try {
      for (;;) {
        if (signal.aborted) throw signal.reason;
        const event = queue.shift();
        if (event === undefined) await new Promise<void>((resolve) => void (wake = resolve));
        else yield event;
      }
    } finally {
      this.open--;
      this.changes.off('event', onEvent);
      signal.removeEventListener('abort', onAbort);
    }
  }
}

describe('an object that a reflector cannot read', () => {
  const surfaced = useSurfaced();
  const seen = (condition: () => boolean) =>
    eventually('it is seen', async () => {
      await settle();
      return condition();
    });

  // One object of one tenant made every list fail, so that nothing was known of all the others, for ever.
  it('keeps no other from being taken in, and stays as it was', async () => {
    const cluster = new FakeCluster();
    const store = new IndexedStore<V1Service>();
    const reflector = new Reflector<V1Service>({
      client: cluster.client,
      resource: services,
      store,
      clock: new VirtualClock(),
      random: () => 1,
      log,
      transform: (object) => {
        if (object.metadata?.labels?.['worst'] !== undefined) throw new TypeError('a bug');
        return object;
      },
    });
    const put = (name: string, labels: Record<string, string>) =>
      cluster.put('services', { metadata: { name, namespace: 'demo', labels } });
    put('a', { worst: 'yes' });
    put('b', {});
    reflector.start();
    await seen(() => reflector.synced);
    expect(store.keys()).to.deep.equal(['demo/b']);
    put('b', { worst: 'yes' });
    put('c', {});
    await seen(() => store.get('demo/c') !== undefined);
    expect(store.get('demo/b')?.metadata?.labels).to.deep.equal({});
    expect(reflector.error).to.equal(undefined);
    expect(surfaced.map(({ resource, key }) => `${resource} ${key}`)).to.deep.equal([
      'services demo/a',
      'services demo/b',
    ]);
    await reflector.stop();
  });
});

/**
 * A connection that a partition has cut without a reset looks like a quiet one: for ten minutes the store
 * would tell the past as the present.
 */
describe('reflector on a silent watch', () => {
  let server: QuietServer;
  afterEach(() => server.reflector.stop());

  it('resumes from the last version after 100 s of silence, without a list and without an error', async () => {
    server = await new QuietServer().start();
    await server.say('ADDED', service('b', '7'));
    await server.clock.advance(99_000);
    expect(server.watches).to.deep.equal(['1']);
    await server.clock.advance(1000);
    expect(server.watches).to.deep.equal(['1', '7']);
    expect(server.lists).to.equal(1);
    expect(server.errors).to.deep.equal([]);
    expect(server.open, 'the dead watch is let go').to.equal(1);
  });

  it('leaves a watch alone on which bookmarks come', async () => {
    server = await new QuietServer().start();
    for (let minute = 1; minute <= 5; minute++) {
      await server.clock.advance(60_000);
      await server.say('BOOKMARK', service('', String(10 + minute)));
    }
    await server.clock.advance(99_000);
    expect(server.watches).to.deep.equal(['1']);
    await server.clock.advance(1000);
    expect(server.watches).to.deep.equal(['1', '15']);
  });

  it('goes on resuming for as long as it is silent', async () => {
    server = await new QuietServer(1000).start();
    await server.clock.advance(5000);
    expect(server.watches).to.have.length(6);
    expect(server.errors).to.deep.equal([]);
  });

  it('takes events of the resumed watch', async () => {
    server = await new QuietServer(1000).start();
    await server.clock.advance(1500);
    await server.say('ADDED', service('c', '9'));
    expect(server.store.keys()).to.deep.equal(['demo/a', 'demo/c']);
  });

  it('resumes at once when asked to', async () => {
    server = await new QuietServer().start();
    await server.say('ADDED', service('b', '7'));
    server.reflector.refresh();
    await settle();
    expect(server.watches).to.deep.equal(['1', '7']);
    expect(server.lists).to.equal(1);
    expect(server.errors).to.deep.equal([]);
  });

  it('lists again when the server has gone back in time: its data was lost or restored', async () => {
    server = await new QuietServer().start();
    await server.say('ADDED', service('b', '12'));
    server.version = '9';
    server.reflector.refresh();
    await settle();
    expect(server.lists).to.equal(2);
    expect(server.watches).to.deep.equal(['1', '9']);
    expect(server.store.keys(), 'what is no longer there is gone').to.deep.equal(['demo/a']);
  });

  it('cuts the wait after failures short when asked to', async () => {
    server = new QuietServer();
    server.refusal = new Error('unreachable');
    await server.start();
    await server.clock.advance(60_000);
    const tries = server.watches.length;
    server.refusal = undefined;
    server.reflector.refresh();
    await settle();
    expect(server.watches).to.have.length(tries + 1);
    expect(server.open).to.equal(1);
    expect(server.lists).to.equal(1);
  });

  it('arms no timer that outlives it', async () => {
    server = await new QuietServer().start();
    await server.reflector.stop();
    expect(server.clock.pending).to.equal(0);
    expect(server.open).to.equal(0);
  });

  it('does not ask in a tight loop where every watch ends at once without a word', async () => {
    server = new QuietServer();
    server.short = true;
    await server.start();
    await server.clock.advance(60_000);
    expect(server.watches.length).to.be.below(12);
    expect(codeOf(server.reflector.error)).to.equal('KUBE_WATCH_BROKEN');
  });

  // Nothing was ever said of a kind of which there was nothing: whoever waited for all to be known waited on.
  it('is as it should be when a watch goes on again, though nothing happens', async () => {
    server = new QuietServer();
    server.short = true;
    await server.start();
    expect(codeOf(server.reflector.error)).to.equal('KUBE_WATCH_BROKEN');
    server.short = false;
    await server.clock.advance(5000);
    expect([server.open, server.reflector.error]).to.deep.equal([1, undefined]);
    expect(server.errors, 'it was told once').to.have.length(1);
  });
});

describe('reflector.whenSynced', () => {
  let server: QuietServer;
  afterEach(() => server.reflector.stop());

  const failure = (promise: Promise<unknown>) =>
    promise.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('rejects at once with a signal that is aborted already', async () => {
    server = new QuietServer();
    const reason = new Error('too late');
    expect(await failure(server.reflector.whenSynced(AbortSignal.abort(reason)))).to.equal(reason);
  });

  it('rejects when the signal aborts before', async () => {
    server = new QuietServer();
    const abort = new AbortController();
    const failed = failure(server.reflector.whenSynced(abort.signal));
    abort.abort(new Error('enough'));
    expect(await failed).to.equal(abort.signal.reason);
  });

  it('rejects when the reflector is stopped, before or after', async () => {
    server = new QuietServer();
    const before = failure(server.reflector.whenSynced());
    await server.reflector.stop();
    expect(await before).to.be.an('error');
    expect(await failure(server.reflector.whenSynced())).to.be.an('error');
  });

  it('leaves no listener at a signal that lives on', async () => {
    server = new QuietServer();
    const abort = new AbortController();
    let listeners = 0;
    const { signal } = abort;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    const synced = server.reflector.whenSynced(signal);
    expect(listeners).to.equal(1);
    await server.start();
    await synced;
    expect(listeners).to.equal(0);
  });
});

import type { V1ConfigMap } from '@kubernetes/client-node';
import { expect } from 'chai';
import type {
  KubeClient,
  ListOptions,
  WatchEvent,
  WatchOptions,
} from '../../../../src/kube/client/kube-client.ts';
import { follow } from '../../../../src/kube/informer/follow.ts';
import { configMaps } from '../../../../src/api/kubernetes/resource.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const map = (text: string): V1ConfigMap => ({ metadata: { name: 'a', namespace: 'b' }, data: { text } });
const event = (type: WatchEvent<V1ConfigMap>['type'], text: string) => ({ type, object: map(text) });

/** A client whose lists and watches are written down beforehand; a watch without more events ends. */
class Script {
  readonly calls: (ListOptions | WatchOptions)[] = [];
  readonly lists: V1ConfigMap[][];
  readonly watches: (WatchEvent<V1ConfigMap>[] | Error)[];
  constructor(lists: V1ConfigMap[][], watches: (WatchEvent<V1ConfigMap>[] | Error)[]) {
    this.lists = lists;
    this.watches = watches;
  }
  get client(): KubeClient {
    return {
      list: (_: unknown, options: ListOptions) => {
        this.calls.push(options);
        return Promise.resolve({ items: this.lists.shift() ?? [], resourceVersion: '7' });
      },
      watch: (_: unknown, options: WatchOptions) => this.#watch(options),
    } as unknown as KubeClient;
  }
  async *#watch(options: WatchOptions): AsyncGenerator<WatchEvent<V1ConfigMap>> {
    this.calls.push(options);
    await settle(1);
    const next = this.watches.shift() ?? [];
    if (next instanceof Error) throw next;
    yield* next;
  }
}

describe('follow', () => {
  const clock = new VirtualClock();
  const start = (script: Script, signal = new AbortController().signal) =>
    follow({
      client: script.client,
      resource: configMaps,
      ref: { namespace: 'b', name: 'a' },
      clock,
      signal,
    });
  const take = async (from: AsyncGenerator<V1ConfigMap | undefined>, count: number) => {
    const seen: (string | undefined)[] = [];
    while (seen.length < count) {
      const { value } = (await from.next()) as { value: V1ConfigMap | undefined };
      seen.push(value?.data?.['text']);
    }
    return seen;
  };

  it('gives the object as it is, as it becomes, and that it is gone', async () => {
    const script = new Script(
      [[map('1')]],
      [[event('MODIFIED', '2'), event('BOOKMARK', ''), event('DELETED', '2'), event('ADDED', '3')]],
    );
    expect(await take(start(script), 4)).to.deep.equal(['1', '2', undefined, '3']);
  });

  it('gives undefined for what is not there yet, and watches from that version', async () => {
    const script = new Script([[]], [[event('ADDED', '1')]]);
    expect(await take(start(script), 2)).to.deep.equal([undefined, '1']);
    expect(script.calls[1]).to.include({ resourceVersion: '7', namespace: 'b' });
  });

  // An account that may read this one object must not need more.
  it('asks for this name only', async () => {
    const script = new Script([[map('1')]], [[event('MODIFIED', '2')]]);
    await take(start(script), 2);
    for (const call of script.calls) expect(call.fieldSelector).to.equal('metadata.name=a');
  });

  it('reads again when a watch ends, but not in a tight loop', async () => {
    const script = new Script([[map('1')], [map('2')]], [[], []]);
    const from = start(script);
    await take(from, 1);
    const second = take(from, 1);
    await settle();
    expect(script.calls).to.have.length(2);
    await clock.advance(1000);
    expect(await second).to.deep.equal(['2']);
  });

  it('throws what went wrong', async () => {
    const from = start(new Script([[map('1')]], [new Error('broken')]));
    await take(from, 1);
    const failed = await from.next().catch((error: unknown) => error);
    expect((failed as Error).message).to.equal('broken');
  });
});

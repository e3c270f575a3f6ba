import { expect } from 'chai';
import type { KubeObject } from '../../../../src/api/kubernetes/resource.ts';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import { useSurfaced } from '../../../support/surfaced.ts';

const object = (name: string, version = '1'): KubeObject => ({
  metadata: { namespace: 'demo', name, uid: name, resourceVersion: version },
});

describe('the subscribers of a store', () => {
  const surfaced = useSurfaced();

  // One that threw was reported as a broken watch, and whoever came after it never heard of that object.
  it('hear of every change although another of them throws, which is told with its name', () => {
    const store = new IndexedStore<KubeObject>();
    const heard: string[] = [];
    store.subscribe('first', () => {
      throw new TypeError('a bug in a subscriber');
    });
    store.subscribe('second', ({ type, key }) => heard.push(`${type} ${key}`));
    store.replace([object('a'), object('b')]);
    store.set(object('a', '2'));
    store.delete('demo/b');
    expect(heard).to.deep.equal(['added demo/a', 'added demo/b', 'updated demo/a', 'deleted demo/b']);
    expect(surfaced.map(({ message, subscriber, key }) => [message, subscriber, key])).to.deep.equal(
      ['demo/a', 'demo/b', 'demo/a', 'demo/b'].map((key) => ['a bug in a subscriber', 'first', key]),
    );
  });

  // One object that an index cannot read made every list fail, so that nothing was known of all the others.
  it('hear of an object that an index cannot read, and of those behind it', () => {
    const store = new IndexedStore<KubeObject>({
      label: ({ metadata }) => {
        if (metadata?.name === 'a') throw new TypeError('a bug in an index');
        return ['x'];
      },
    });
    const heard: string[] = [];
    store.subscribe('test', ({ type, key }) => heard.push(`${type} ${key}`));
    store.replace([object('a'), object('b')]);
    expect(heard).to.deep.equal(['added demo/a', 'added demo/b']);
    expect(store.byIndex('label', 'x').map(({ metadata }) => metadata?.name)).to.deep.equal(['b']);
    expect(store.get('demo/a')).to.equal(store.first);
    expect(surfaced.map(({ index, key }) => [index, key])).to.deep.equal([['label', 'demo/a']]);
    store.delete('demo/a');
    expect(store.keys()).to.deep.equal(['demo/b']);
  });
});

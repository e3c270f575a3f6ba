import { expect } from 'chai';
import type { KubeObject } from '../../../src/kube/resource.ts';
import { IndexedStore } from '../../../src/kube/store.ts';

const object = (name: string, version = '1'): KubeObject => ({
  metadata: { namespace: 'demo', name, uid: name, resourceVersion: version },
});

describe('the subscribers of a store', () => {
  // One that threw was reported as a broken watch, and whoever came after it never heard of that object.
  it('hear of every change although another of them throws, which is told with its name', () => {
    const store = new IndexedStore<KubeObject>();
    const told: [string, string][] = [];
    const heard: string[] = [];
    store.onListenerError = (name, error) => told.push([name, String(error)]);
    store.subscribe(() => {
      throw new TypeError('a bug in a subscriber');
    }, 'first');
    store.subscribe(({ type, key }) => heard.push(`${type} ${key}`), 'second');
    store.replace([object('a'), object('b')]);
    store.set(object('a', '2'));
    store.delete('demo/b');
    expect(heard).to.deep.equal(['added demo/a', 'added demo/b', 'updated demo/a', 'deleted demo/b']);
    expect(told).to.deep.equal(heard.map(() => ['first', 'TypeError: a bug in a subscriber']));
  });

  it('all hear before what one of them threw goes on to a caller who asked for nothing else', () => {
    const store = new IndexedStore<KubeObject>();
    const heard: string[] = [];
    store.subscribe(() => {
      throw new TypeError('a bug');
    });
    store.subscribe(({ key }) => heard.push(key));
    expect(() => store.set(object('a'))).to.throw('a bug');
    expect(heard).to.deep.equal(['demo/a']);
  });
});

import { expect } from 'chai';
import { keyTest } from '../../../../src/api/link/import-policy.ts';
import { IndexedStore } from '../../../../src/kube/informer/store.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';
import { LocalExclusions } from '../../../../src/controllers/federated/local-exclusions.ts';

const none = { label: undefined, annotation: undefined };

function link(name: string, spec: object, status = {}): LinkObject {
  return { metadata: { namespace: 'links', name }, spec, status };
}

/**
 * Linkerd's local service mirror has `--excluded-labels` and `--excluded-annotations`; here nothing kept a
 * key of a local member from its federated Service.
 */
describe('what local members do not pass on', () => {
  it('is what any Link excludes, as Links come, change and go, whatever else is wrong with them', () => {
    const links = new IndexedStore<LinkObject>();
    const { rules, ...exclusions } = track(links);
    expect(rules.excludedLabel('team')).to.equal(false);
    links.set(link('west', { excludedLabels: ['team'], excludedAnnotations: ['a.example/*'] }));
    links.set(link('north', { targetClusterName: 'No Name', excludedLabels: ['tier'] }));
    for (const key of ['team', 'tier']) expect(rules.excludedLabel(key), key).to.equal(true);
    expect(rules.excludedLabel('a.example/x')).to.equal(false);
    expect(rules.excludedAnnotation('a.example/x')).to.equal(true);
    expect(exclusions.told()).to.equal(2);
    links.delete('links/west');
    expect(rules.excludedLabel('team')).to.equal(false);
    expect(rules.excludedLabel('tier')).to.equal(true);
    expect(exclusions.told()).to.equal(3);
  });

  it('is no news when a status changes, and bears lists that no schema has seen', () => {
    const links = new IndexedStore<LinkObject>();
    links.set(link('west', { excludedLabels: ['team', 7, null], excludedAnnotations: 'x' }));
    const { rules, told } = track(links);
    links.set(link('west', { excludedLabels: ['team'] }, { conditions: [] }));
    expect(told()).to.equal(0);
    expect(rules.excludedLabel('team')).to.equal(true);
    expect(rules.excludedAnnotation('x')).to.equal(false);
  });

  it('is what a person says instead, of each kind on its own; nothing is a word too', () => {
    const links = new IndexedStore<LinkObject>();
    links.set(link('west', { excludedLabels: ['team'], excludedAnnotations: ['note'] }));
    const { rules } = new LocalExclusions(links, { ...none, label: keyTest(['tier']) });
    expect(['team', 'tier'].map(rules.excludedLabel)).to.deep.equal([false, true]);
    expect(rules.excludedAnnotation('note')).to.equal(true);
    const empty = new LocalExclusions(links, { ...none, label: keyTest(['']) });
    expect(empty.rules.excludedLabel('team')).to.equal(false);
  });
});

function track(links: IndexedStore<LinkObject>) {
  const exclusions = new LocalExclusions(links, none);
  let told = 0;
  exclusions.follow(() => told++);
  return { rules: exclusions.rules, told: () => told };
}

import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { createAnchor } from '../../../../src/identity/authority/issue.ts';
import {
  openAnchorsConfigMap,
  openAnchorsFile,
  type TrustAnchors,
} from '../../../../src/identity/sources/trust-anchors.ts';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { eventually } from '../../../support/eventually.ts';
import { useTempDir } from '../../../support/temp-dir.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const [one, two] = await Promise.all([createAnchor({ name: 'one' }), createAnchor({ name: 'two' })]);

describe('trust anchors', () => {
  const dir = useTempDir();
  let clock: VirtualClock;
  let anchors: TrustAnchors | undefined;
  const until = (what: string, condition: () => boolean) =>
    eventually(what, async () => {
      await clock.advance(500);
      return condition();
    });
  beforeEach(() => {
    clock = new VirtualClock();
  });
  afterEach(() => anchors?.close());

  it('in a file are taken when they change, and kept when the file is bad or gone', async () => {
    const file = path.join(dir(), 'bundle.pem');
    await writeFile(file, one.ca);
    const opened = (anchors = await openAnchorsFile(file, clock));
    let told = 0;
    opened.subscribe(() => told++);
    expect(opened.current()).to.deep.equal({ path: file, text: one.ca });
    await writeFile(file, one.ca + two.ca);
    await until('the new bundle', () => opened.current()?.text === one.ca + two.ca);
    await writeFile(file, 'nothing');
    await until('the refusal', () => opened.problem?.code === 'IDENTITY_INVALID');
    await rm(file);
    await until('the loss', () => opened.problem?.code === 'IDENTITY_MISSING');
    expect(opened.current()?.text).to.equal(one.ca + two.ca);
    expect(told).to.equal(3);
  });

  it('in a ConfigMap stay while the API server cannot be reached, and it is asked again', async () => {
    const down = new LinkspanError('KUBE_UNREACHABLE', 'no connection');
    const lists = [{ 'ca-bundle.crt': one.ca }, down, {}, { 'ca.crt': two.ca }];
    const client = {
      list: () => {
        const next = lists.length > 1 ? lists.shift() : lists[0];
        if (next instanceof LinkspanError) return Promise.reject(next);
        return Promise.resolve({ items: [{ data: next }], resourceVersion: '1' });
      },
      async *watch() {
        // Ends at once.
      },
    } as unknown as KubeClient;
    const opened = (anchors = openAnchorsConfigMap({
      client,
      ref: { namespace: 'linkerd', name: 'roots' },
      clock,
      random: () => 0.5,
    }));
    const problems: (string | undefined)[] = [];
    opened.subscribe(() => problems.push(opened.problem?.code));
    await until('the first bundle', () => opened.current()?.text === one.ca);
    await until('the last bundle', () => opened.current()?.text === two.ca);
    expect(problems).to.deep.equal([undefined, 'KUBE_UNREACHABLE', 'IDENTITY_MISSING', undefined]);
    expect(opened.current()?.path).to.equal('ConfigMap linkerd/roots, ca.crt');
  });
});

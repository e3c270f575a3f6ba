import { expect } from 'chai';
import fc from 'fast-check';
import { codeOf } from '../../../src/api/errors/linkspan-error.ts';
import { clusterValues, imageValues } from '../../../src/install/install-plan.ts';
import type { InstallFacts } from '../../../src/install/install-facts.ts';
import {
  differences,
  joinValues,
  keysOf,
  overridesSecret,
  storedValues,
  valueAt,
  type Values,
  withoutValue,
} from '../../../src/install/values.ts';

const facts: InstallFacts = {
  kubernetes: '1.34.1',
  apiVersions: [],
  stored: undefined,
  helmRelease: undefined,
  deployed: false,
  podSecurity: undefined,
  linkerd: { clusterDomain: 'east.local', trustDomain: 'mesh.example' },
};

describe('values of an installation', () => {
  it('are joined as helm joins them', () => {
    const below = { a: { b: 1, c: [1, 2] }, d: 'x', e: { f: 1 } };
    expect(joinValues(below, { a: { c: [3] }, e: null, g: {} })).to.deep.equal({
      a: { b: 1, c: [3] },
      d: 'x',
      e: null,
      g: {},
    });
    expect(below.a.c, 'nothing is changed in place').to.deep.equal([1, 2]);
  });

  it('never lose one on the way into the Secret and back', () => {
    const values = fc.dictionary(
      fc.stringMatching(/^[a-zA-Z][\w-]{0,8}$/),
      fc.letrec((tie) => ({
        value: fc.oneof(
          fc.integer(),
          fc.boolean(),
          fc.constant(null),
          fc.string(),
          fc.array(tie('value'), { maxLength: 3 }),
          fc.dictionary(fc.stringMatching(/^[a-z./]{1,8}$/), tie('value'), {
            maxKeys: 3,
            noNullPrototype: true,
          }),
        ),
      })).value,
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(values, (some) => {
        expect(storedValues(overridesSecret(some, 'ns', '1.0.0'))).to.deep.equal(some);
      }),
      { numRuns: 200 },
    );
  });

  it('are refused by the name of the Secret when somebody has damaged it', () => {
    const secret = (data: Record<string, string>) => ({ metadata: { namespace: 'ns', name: 'n' }, data });
    const encode = (text: string) => Buffer.from(text).toString('base64');
    for (const data of [{}, { 'values.yaml': encode('- a') }, { 'values.yaml': encode('a: [') }]) {
      try {
        storedValues(secret(data));
        expect.fail('it was read');
      } catch (error) {
        expect(codeOf(error)).to.equal('VALUES_INVALID');
        expect((error as Error).message).to.match(/^Secret ns\/n: /);
      }
    }
  });

  it('are compared by their keys', () => {
    const a = { gateway: { port: 1, name: 'x' }, list: [1] };
    expect(differences(a, structuredClone(a))).to.deep.equal([]);
    expect(differences(a, { gateway: { port: '1', name: 'x' }, list: [1, 2], new: {} })).to.deep.equal([
      'gateway.port',
      'list',
      'new',
    ]);
    expect(keysOf(a)).to.deep.equal(['gateway.port', 'gateway.name', 'list']);
  });

  it('lose a single key, and the maps that are empty for it', () => {
    const values: Values = { a: { b: { c: 1 } }, d: 1 };
    expect(withoutValue(values, 'a.b.c')).to.deep.equal({ d: 1 });
    expect(withoutValue(values, 'a.x')).to.deep.equal(values);
    expect(withoutValue(values, 'd.e')).to.deep.equal(values);
    expect(valueAt(values, 'a.b.c')).to.equal(1);
    expect(valueAt(values, 'd.e')).to.equal(undefined);
  });

  it('say where an image is', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    expect(imageValues('reg.example:5000/a/b:1.0')).to.deep.equal({
      image: { repository: 'reg.example:5000/a/b', tag: '1.0', digest: '' },
    });
    expect(imageValues('reg.example:5000/a')).to.deep.equal({
      image: { repository: 'reg.example:5000/a', tag: '', digest: '' },
    });
    expect(imageValues(`a@${digest}`)).to.deep.equal({ image: { repository: 'a', tag: '', digest } });
    for (const bad of ['', 'a b', 'a@sha256:12', '@x'])
      expect(() => imageValues(bad)).to.throw(/is not an image/);
  });

  it('take certificates from Linkerd where it is, unless an issuer is given', () => {
    // Sources with Linkerd read what Linkerd's account lets them read, whoever issues the certificates.
    const values = {
      clusterDomain: 'east.local',
      identityTrustDomain: 'mesh.example',
      remoteAccess: { linkerd: true },
    };
    expect(clusterValues(facts, false)).to.deep.equal({ ...values, identity: { source: 'linkerd' } });
    expect(clusterValues(facts, true)).to.deep.equal(values);
    expect(clusterValues({ ...facts, linkerd: undefined }, false)).to.deep.equal({});
  });
});

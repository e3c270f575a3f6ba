import type { V1CustomResourceDefinition } from '@kubernetes/client-node';
import { expect } from 'chai';
import { crdFinding } from '../../../src/check/linkerd-checks.ts';

const serving = (...names: string[]) =>
  ({
    spec: { versions: names.map((name) => ({ name, served: name !== 'v1alpha2', storage: false })) },
  }) as V1CustomResourceDefinition;

describe('the CRD of Links', () => {
  it('of an older Linkerd is named as what it is, not taken for one without Links', () => {
    // linkerd2#15471: `check` said that it was there and that there were no Links.
    expect(crdFinding(serving('v1alpha1', 'v1alpha2', 'v1alpha3')).result).to.equal('success');
    const old = crdFinding(serving('v1alpha1', 'v1alpha2'));
    expect(old.result).to.equal('error');
    expect(old.text).to.include('does not serve v1alpha3 but v1alpha1,');
    expect(crdFinding(undefined).text).to.include('is not installed');
  });
});

import { expect } from 'chai';
import { staleGroups } from '../../testbed/etcd-state.ts';

const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64');
const crd = (name: string) =>
  [base64(`/registry/apiextensions.k8s.io/customresourcedefinitions/${name}`), base64('{}')] as const;
const apiService = (name: string, managed: string) =>
  [
    base64(`/registry/apiregistration.k8s.io/apiservices/${name}`),
    base64(`{"metadata":{"labels":{"kube-aggregator.kubernetes.io/automanaged":"${managed}"}}}`),
  ] as const;

// A cluster was remembered while its API server still served kinds that the file before had made and that
// were gone: it never became so again.
describe('what an API server still serves of kinds that are gone', () => {
  it('is told from its own kinds, and from those that are there', () => {
    const state = new Map([
      crd('links.multicluster.linkerd.io'),
      apiService('v1alpha3.multicluster.linkerd.io', 'true'),
      apiService('v1.gateway.networking.k8s.io', 'true'),
      apiService('v1.apps', 'onstart'),
      apiService('v1.', 'onstart'),
    ]);
    expect([...staleGroups(state)]).to.deep.equal(['gateway.networking.k8s.io']);
  });
});

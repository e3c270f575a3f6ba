import { expect } from 'chai';
import { codeOf } from '../../../src/api/errors/linkspan-error.ts';
import { apiServerAddress, unreachableFromPods } from '../../../src/linking/api-address.ts';

describe("the address of a target's API server", () => {
  const local = [
    'https://127.0.0.1:6443',
    'https://127.1.2.3:6443',
    // The URL parser makes 127.0.0.1 of it, as the socket would.
    'https://2130706433:6443',
    'https://localhost:41333',
    'https://LOCALHOST',
    'https://api.localhost:6443',
    'https://0.0.0.0:6443',
    'https://[::1]:6443',
    'https://[::]:6443',
    'https://[::ffff:127.0.0.1]:6443',
    'https://kubernetes.docker.internal:6443',
    'https://kubernetes.default.svc',
    'https://kubernetes.default.svc.cluster.local:443/',
    'https://kubernetes',
    'http://127.0.0.1:8001',
  ];
  for (const server of local)
    it(`is refused where pods of another cluster cannot use it: ${server}`, () =>
      expect(unreachableFromPods(server)).to.be.a('string'));

  const usable = [
    'https://10.0.0.1:6443',
    'https://[fd00::1]:6443',
    'https://api.west.example.com',
    'https://west-control-plane:6443',
    'https://rancher.example.com/k8s/clusters/c-1',
    'https://kubernetes.example.com',
    'https://localhost.example.com',
  ];
  for (const server of usable)
    it(`is taken where it may work: ${server}`, () =>
      expect(unreachableFromPods(server)).to.equal(undefined));

  it('is what a person says, whatever the kubeconfig has', () => {
    const kubeconfig = { server: 'https://127.0.0.1:6443', inCluster: false };
    expect(apiServerAddress('https://10.0.0.9:6443/', kubeconfig)).to.equal('https://10.0.0.9:6443');
    expect(() => apiServerAddress(undefined, kubeconfig)).to.throw(/127\.0\.0\.1:6443/);
  });

  it("is not a pod's own, which is a ClusterIP", () => {
    let code: string | undefined;
    try {
      apiServerAddress(undefined, { server: 'https://10.96.0.1:443', inCluster: true });
    } catch (error) {
      code = codeOf(error);
    }
    expect(code).to.equal('API_SERVER_ADDRESS_LOCAL');
  });
});

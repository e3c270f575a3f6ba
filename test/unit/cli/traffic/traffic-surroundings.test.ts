import type { V1Pod } from '@kubernetes/client-node';
import { expect } from 'chai';
import { readSurroundings, type Wanted } from '../../../../src/cli/traffic/traffic-surroundings.ts';
import { KubeApiError, type KubeClient, type ListOptions } from '../../../../src/kube/client/kube-client.ts';

const MIRROR = {
  labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' },
  annotations: { 'linkspan.dev/remote-uid': 'there', 'linkspan.dev/slo': '99%' },
};
const LISTS: Readonly<Record<string, readonly object[]>> = {
  'services mirror.linkerd.io/exported': [
    { metadata: { name: 'web', namespace: 'shop', uid: 'u1', annotations: { 'linkspan.dev/slo': 'fast' } } },
  ],
  'services mirror.linkerd.io/mirrored-service=true': [
    { metadata: { name: 'web-west', namespace: 'shop', uid: 'u2', ...MIRROR } },
  ],
  'endpointslices mirror.linkerd.io/mirrored-service=true': [
    {
      metadata: { namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web-west' } },
      endpoints: [
        { addresses: ['10.0.0.1', '10.0.0.2'], conditions: { ready: false } },
        { addresses: ['10.0.0.3'], conditions: {} },
      ],
    },
  ],
  'pods ': [
    podOf('front', { podIPs: [{ ip: '10.1.0.1' }, { ip: 'fd00::1' }] }),
    podOf('done', { phase: 'Succeeded', podIPs: [{ ip: '10.1.0.1' }] }),
    podOf('node', { podIPs: [{ ip: '10.9.0.1' }] }, { hostNetwork: true }),
    podOf('new', {}),
  ],
};

function podOf(name: string, status: NonNullable<V1Pod['status']>, spec: object = {}): object {
  return { metadata: { name, namespace: 'shop' }, spec, status };
}

/** An API server that has these, and says 404 of the rest. */
function clientOf(more: Readonly<Record<string, Error>> = {}): KubeClient {
  const absent = new KubeApiError({ status: 404, reason: 'NotFound', message: 'absent' }, 'GET it');
  return {
    server: 'https://east',
    list: async (resource: { plural: string }, { labelSelector = '', keep }: ListOptions<object>) => {
      const what = `${resource.plural} ${labelSelector}`;
      const found = more[what] ?? LISTS[what] ?? (resource.plural === 'leases' ? [] : absent);
      if (found instanceof Error) throw found;
      return { items: found.flatMap((one) => (keep === undefined ? one : (keep(one) ?? []))) };
    },
    raw: async () => {
      throw absent;
    },
  } as unknown as KubeClient;
}

const all: Wanted = {
  services: true,
  links: true,
  pods: true,
  usage: true,
  silent: false,
  namespace: undefined,
};
const read = (client: KubeClient) => readSurroundings({ name: 'east', client, namespace: 'mc' }, all, 10_000);

describe('what stands around the numbers', () => {
  it('Services with objectives, endpoints and where mirrors lead; one that cannot be read is named', async () => {
    const { services, unread } = await read(clientOf());
    expect(
      services.map(({ name, objective, exported, mirror, endpoints }) => [
        name,
        objective.success,
        exported,
        mirror,
        endpoints,
      ]),
    ).to.deep.equal([
      ['web-west', 0.99, false, { cluster: 'west', remoteUid: 'there' }, { ready: 1, known: 3 }],
      ['web', 0.999, true, undefined, undefined],
    ]);
    expect(unread).to.have.length(2);
    expect(unread[0]).to.match(/^shop\/web: linkspan\.dev\/slo: "fast" is no objective/);
    // There are mirrors, so that it would be good to know how they are.
    expect(unread[1]).to.match(/^no Linkspan controller answers/);
  });

  // The address of a Job that has ended is somebody else's now, who was called by its name.
  it('pods by the addresses that they have', async () => {
    const { pods } = await read(clientOf());
    expect([...pods]).to.deep.equal([
      ['10.1.0.1', { namespace: 'shop', name: 'front' }],
      ['fd00::1', { namespace: 'shop', name: 'front' }],
    ]);
  });

  it('what may not be read is named and left out; what need not be there is not', async () => {
    const forbidden = new KubeApiError({ status: 403, reason: 'Forbidden', message: 'no' }, 'list');
    const { services, pods, links, usage, unread } = await read(
      clientOf({ 'pods ': forbidden, 'services mirror.linkerd.io/exported': forbidden }),
    );
    expect([services.length, pods.size, links.length, usage.size]).to.deep.equal([0, 0, 0, 0]);
    expect(unread).to.deep.equal(['list: no', 'list: no']);
  });
});

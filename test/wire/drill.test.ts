import { expect } from 'chai';
import { once } from 'node:events';
import http from 'node:http';
import type { LinkGateway } from '../../src/api/link/link-schema.ts';
import { eventually } from '../support/eventually.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { type Relay, startRelay } from '../support/relay.ts';

const WEB = 'web.demo.svc.cluster.local';

// Whether clients notice the loss of a cluster could be found out only by losing one.
describe('a drill that takes a cluster for dead', () => {
  let origin: Origin;
  let relay: Relay;
  const dead = new Set<string>();

  beforeEach(async () => {
    dead.clear();
    origin = await http1Origin();
    const members: Record<string, LinkGateway> = {};
    const drills = {
      isDead: (backend: object) => 'cluster' in backend && dead.has(String(backend.cluster)),
    };
    const services = [{ name: WEB, members }];
    const endpoints = [{ host: '127.0.0.1', port: origin.port, ready: true }];
    relay = await startRelay({
      specs: [{ name: WEB, port: 80, protocol: 'http1', endpoints }],
      services: [{ name: WEB }],
      egress: { drills },
    });
    for (const cluster of ['west', 'north'])
      members[cluster] = { addresses: ['127.0.0.1'], port: relay.local.port, identity: 'gateway.west' };
    relay.say(services);
    await eventually(
      'the group is served',
      async () => (await ask()) === 200 && served('west') + served('north') > 0,
    );
  });
  afterEach(async () => {
    await relay.close();
    origin.close();
  });

  const served = (cluster: string) =>
    relay.egress.counters.snapshot().groups[`demo/${WEB}:80`]?.backends[cluster]?.served ?? 0;
  const ask = async (path = '/hello') => {
    const request = http.request({
      host: '127.0.0.1',
      port: relay.client.portOf(WEB),
      path,
      method: 'POST',
      agent: false,
    });
    request.end('x');
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    response.resume();
    await once(response, 'end');
    return response.statusCode;
  };
  const askMany = async (count: number) => {
    const statuses = new Set<number | undefined>();
    for (let sent = 0; sent < count; sent++) statuses.add(await ask());
    return [...statuses];
  };

  it('fails no request, whatever its method, and ends as if nothing had been', async () => {
    await eventually(
      'both serve',
      async () => (await ask()) === 200 && served('west') > 0 && served('north') > 0,
    );
    dead.add('west');
    const before = served('west');
    expect(await askMany(40)).to.deep.equal([200]);
    expect(served('west')).to.equal(before);
    dead.delete('west');
    await eventually('west serves again', async () => (await ask()) === 200 && served('west') > before);
  });

  it('of all clusters says so to clients, as their loss would', async () => {
    dead.add('west').add('north');
    expect(await ask()).to.be.oneOf([502, 503, 504]);
  });
});

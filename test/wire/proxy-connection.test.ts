import { expect } from 'chai';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import { freePort } from '../support/free-port.ts';
import { GRPC_FIELDS } from '../support/grpc.ts';
import type { LocalGateway } from '../support/local-gateway.ts';
import type { MeshClient } from '../support/mesh-client.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import type { ClientKind, Response } from '../support/service-client.ts';
import { answering, WireTarget } from '../support/wire-target.ts';
import { service } from '../support/wire-gateway.ts';

const FIELD = 'l5d-proxy-connection';
const named = (name: string) => `${name}.demo.svc.cluster.local`;
const KINDS: readonly ClientKind[] = ['http1', 'http2', 'http1-upgraded'];

/**
 * What comes of each, and whether the client's proxy is to end its application's connection (wire protocol
 * 1.6).
 */
const CASES: readonly (readonly [name: string, status: number, grpc: string, closes: boolean])[] = [
  ['good', 200, '', false],
  ['nowhere', 404, '5', false],
  ['locked', 403, '7', false],
  ['refusing', 502, '14', true],
  ['empty', 504, '4', true],
];

// Without it a mesh client's application stays on the connection by which it has just met a dead end, and its
// proxy never lets it try another replica. The word is between proxies: applications neither say nor hear it.
describe('the word to a mesh proxy to end its application’s connection', () => {
  let relay: Relay;
  let local: LocalGateway;
  let mesh: MeshClient;
  let origin: Origin;
  let says: WireTarget;

  before(async () => {
    origin = await http1Origin();
    says = await WireTarget.start(
      answering(() => `HTTP/1.1 200 OK\r\n${FIELD}: close\r\ncontent-length: 2\r\n\r\nok`),
    );
    const served = (name: string, ports: readonly number[]): TargetSpec => ({
      ...service(named(name), ports),
      protocol: 'http1',
    });
    const specs = [
      served('good', [origin.port]),
      served('refusing', [await freePort()]),
      served('empty', []),
      served('says', [says.port]),
      { ...served('locked', [origin.port]), allow: ['nobody.east'] },
    ];
    const names = ['good', 'nowhere', 'locked', 'refusing', 'empty', 'says'];
    relay = await startRelay({ specs, services: names.map((name) => ({ name: named(name) })) });
    ({ local } = relay);
    mesh = await local.clientOf('client.east');
  });

  after(async () => {
    await relay.close();
    await says.close();
    origin.close();
  });

  for (const [name, status, grpc, closes] of CASES) {
    for (const kind of KINDS)
      it(`${closes ? 'is said' : 'is not said'} with ${status} (${name}), ${kind}`, async () => {
        const answer = await mesh.request(kind, named(name), { path: '/hello' });
        expect([answer.status, answer.headers[FIELD]]).to.deep.equal([status, closes ? 'close' : undefined]);
      });
    if (grpc !== '')
      it(`${closes ? 'is said' : 'is not said'} with gRPC status ${grpc} (${name})`, async () => {
        const answer = await mesh.request('http2', named(name), {
          method: 'POST',
          path: '/a/b',
          headers: GRPC_FIELDS,
        });
        expect(answer.headers).to.include({ ':status': 200, 'grpc-status': grpc });
        expect(answer.headers[FIELD]).to.equal(closes ? 'close' : undefined);
        expect(answer.headers['l5d-proxy-error']).to.be.a('string');
      });
    for (const kind of ['http1', 'http2'] as const)
      it(`reaches no application behind an egress with ${status} (${name}), ${kind}`, async () => {
        const answer = await relay.client.request(kind, named(name), { path: '/hello' });
        expect([answer.status, answer.headers[FIELD]]).to.deep.equal([status, undefined]);
      });
  }

  for (const kind of KINDS) {
    it(`of a target reaches nobody, ${kind}`, async () => {
      const heard = (answer: Response) => [answer.status, answer.headers[FIELD]];
      expect(heard(await mesh.request(kind, named('says'), { path: '/' }))).to.deep.equal([200, undefined]);
    });

    it(`of a client reaches no target, ${kind}`, async () => {
      const headers = { [FIELD]: 'close' };
      const { body } = await mesh.request(kind, named('good'), { path: '/facts', headers });
      const facts = JSON.parse(String(body)) as { headers: Record<string, string> };
      expect(facts.headers).to.not.have.property(FIELD);
    });
  }
});

import { expect } from 'chai';
import {
  portProtocol,
  servicePortProtocol,
  type PortFacts,
} from '../../../../src/api/ports/port-protocol.ts';

/**
 * Gateway and egress once had a table each. Where they differed, what one took for HTTP the other passed on
 * unread.
 */
describe('What a port speaks', () => {
  const table: readonly [facts: PortFacts, protocol: string | undefined, why: string][] = [
    [{ port: 80 }, undefined, 'nothing is said'],
    ...[25, 587, 3306, 4444, 5432, 6379, 9300, 11_211].map(
      (port) => [{ port }, 'opaque', "it is one of Linkerd's"] as [PortFacts, string, string],
    ),
    [{ port: 443 }, undefined, "it is none of Linkerd's, as of 2.12"],
    [{ port: 5432, opaquePorts: '' }, undefined, 'the annotation replaces the list'],
    [{ port: 5432, opaquePorts: '25' }, undefined, 'the annotation replaces the list'],
    [{ port: 80, opaquePorts: '70-90' }, 'opaque', 'the annotation says so'],
    [{ port: 80, opaquePorts: 'db', names: ['db'] }, 'opaque', 'the annotation says so, by name'],
    [{ port: 80, opaquePorts: '80', appProtocol: 'http' }, 'opaque', 'the annotation wins'],
    [{ port: 5432, appProtocol: 'http' }, 'http1', 'appProtocol wins over the list'],
    [{ port: 5432, appProtocol: 'example.com/x' }, 'opaque', 'an unknown appProtocol says nothing'],
    [{ port: 80, appProtocol: 'example.com/x' }, undefined, 'an unknown appProtocol says nothing'],
    [{ port: 80, appProtocol: '__proto__' }, undefined, 'an unknown appProtocol says nothing'],
    [{ port: 25, said: 'http2', opaquePorts: '25' }, 'http2', 'a targets file says so'],
    ...['HTTP', 'kubernetes.io/ws'].map(
      (appProtocol) => [{ port: 1, appProtocol }, 'http1', appProtocol] as [PortFacts, string, string],
    ),
    ...['kubernetes.io/h2c', 'http2', 'grpc', 'gRPC'].map(
      (appProtocol) => [{ port: 1, appProtocol }, 'http2', appProtocol] as [PortFacts, string, string],
    ),
    ...['mysql', 'postgresql', 'postgres', 'redis', 'smtp', 'mongodb', 'mongo', 'tls', 'tcp', 'https']
      .concat(['amqp', 'kafka', 'MySQL', 'kubernetes.io/wss', 'linkerd.io/opaque'])
      .map((appProtocol) => [{ port: 1, appProtocol }, 'opaque', appProtocol] as [PortFacts, string, string]),
  ];
  for (const [facts, protocol, why] of table)
    it(`${protocol ?? 'unknown'} for ${JSON.stringify(facts)}: ${why}`, () =>
      expect(portProtocol(facts)).to.equal(protocol));

  it("is read of a Service's own port, and of TCP only", () => {
    const service = {
      metadata: { annotations: { 'config.linkerd.io/opaque-ports': 'raw' } },
      spec: {
        ports: [
          { port: 53, protocol: 'UDP', appProtocol: 'http' },
          { port: 53, appProtocol: 'dns' },
          { port: 80, appProtocol: 'http' },
          { port: 81, name: 'raw', appProtocol: 'http' },
        ],
      },
    };
    const seen = [53, 80, 81, 82].map((port) => servicePortProtocol(service, port));
    expect(seen).to.deep.equal(['opaque', 'http1', 'opaque', undefined]);
  });
});

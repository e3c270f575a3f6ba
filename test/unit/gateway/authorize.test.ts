import { expect } from 'chai';
import { authorize, type Question } from '../../../src/gateway/authorize.ts';
import { parseRequestHead } from '../../../src/proxy/http1/head.ts';

const head = (...lines: string[]) =>
  parseRequestHead(Buffer.from(`GET / HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`));
const question: Question = {
  own: 'gateway.west',
  client: 'egress.mc.east',
  label: 'web.demo.svc.cluster.local:80',
  spec: { name: 'web.demo.svc.cluster.local', port: 80, endpoints: [] },
  head: head(),
};
const allowing = (...allow: string[]): Partial<Question> => ({
  spec: { name: 'web', port: 80, endpoints: [], allow },
});

describe('who may pass the gateway', () => {
  const cases: readonly [string, Partial<Question>, string | undefined][] = [
    ['any identity of the trust domain, when the Service says nothing', {}, undefined],
    ['nobody, to what is not exported', { spec: undefined }, 'unknown service'],
    ['whom the Service names', allowing('egress.mc.east'), undefined],
    ['whom a wildcard covers', allowing('*.mc.east'), undefined],
    ['nobody else', allowing('other.mc.east', '*.west'), 'unauthorized'],
    ['nobody, when the list is empty', allowing(), 'unauthorized'],
    ['not the gateway itself', { client: 'gateway.west' }, 'gateway loop'],
    ['no request that has been here', { head: head('forwarded: by=gateway.west;for=a') }, 'gateway loop'],
    [
      '… merged behind another element',
      { head: head('forwarded: for=a;by=x, for=b; By="GATEWAY.west"') },
      'gateway loop',
    ],
    ['… in a second field', { head: head('forwarded: by=x', 'forwarded: by=gateway.west') }, 'gateway loop'],
    [
      'a request that passed other gateways',
      { head: head('forwarded: by=gateway.north;for=gateway.west') },
      undefined,
    ],
    ['an opaque connection', { head: undefined }, undefined],
  ];
  for (const [story, change, kind] of cases) {
    it(story, () => expect(authorize({ ...question, ...change })?.kind).to.equal(kind));
  }
});

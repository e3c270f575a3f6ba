import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TapFlow } from '../../src/api/answers/tap-events.ts';
import { listenOn } from '../../src/base/listen.ts';
import { closedIn } from '../support/closed-in.ts';
import { keptLinkspan } from '../support/linkspan.ts';
import { reportOf, targetOf } from '../support/traffic-readings.ts';

type Answer = (response: ServerResponse, query: string) => void;

const json = (response: ServerResponse, value: unknown) =>
  response.setHeader('content-type', 'application/json').end(JSON.stringify(value));

/** What moves a terminal, turns what is beside it, or ends a line. */
const MOVES = '\u001b[2J\u009b2J\u202emoc\u2028\r\n';
/** One line, without any of it. */
const PLAIN = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+\n$/u;

const FLOW: TapFlow = {
  v: 1,
  type: 'flow',
  id: MOVES,
  at: 0,
  process: 'gateway',
  side: 'target',
  client: { identity: MOVES, proven: true, via: MOVES },
  target: { name: MOVES, port: MOVES, namespace: MOVES, service: MOVES },
  endpoint: MOVES,
  protocol: 'http2',
  method: MOVES,
  path: MOVES,
  bytesIn: 0,
  bytesOut: 0,
  totalMs: 1,
  failure: MOVES,
  reason: MOVES,
};

// Whoever has taken over a pod of an installation is asked by people who want to know what is wrong.
describe('Pods that answer what they like', () => {
  const closed = closedIn(after);
  let kubeconfig = '';
  let pods: Readonly<Record<string, Answer>> = {};

  before(async () => {
    const server = createServer((request, response) => answer(request, response));
    await listenOn(server, { host: '127.0.0.1', port: 0 });
    closed(server, (one) => one.closeAllConnections());
    closed(server, (one) => new Promise<void>((resolve) => one.close(() => resolve())));
    const dir = closed(await mkdtemp(path.join(tmpdir(), 'linkspan-hostile-')), (one) =>
      rm(one, { recursive: true, force: true }),
    );
    kubeconfig = path.join(dir, 'kubeconfig');
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const config = {
      'current-context': 'east',
      clusters: [{ name: 'east', cluster: { server: address } }],
      users: [{ name: 'me', user: { token: 'anybody' } }],
      contexts: [{ name: 'east', context: { cluster: 'east', user: 'me' } }],
    };
    writeFileSync(kubeconfig, JSON.stringify(config));
  });

  const answer = ({ url = '' }: IncomingMessage, response: ServerResponse) => {
    response.on('error', () => undefined);
    const { pathname, search } = new URL(url, 'http://x');
    const [, pod] = /\/pods\/([^/]+):9990\/proxy\//.exec(pathname) ?? [];
    if (pod !== undefined) return pods[pod]?.(response, search);
    if (pathname.endsWith('/token')) return json(response, { status: { token: 'a token' } });
    const items =
      pathname.endsWith('/pods') && !search.includes('egress') ? Object.keys(pods).map(podOf) : [];
    return json(response, { metadata: {}, items });
  };

  const verb = (...args: string[]) => keptLinkspan(...args, '--kubeconfig', kubeconfig);

  for (const output of ['table', 'wide', 'json', 'jsonpath={.path} {.target} {.reason}'])
    it(`move nobody's terminal by the words of a tap, ${output}`, async () => {
      pods = { 'gateway-0': (response) => void response.end(`${JSON.stringify(FLOW)}\n`) };
      const { stdout, code } = await verb('tap', '-o', output);
      expect(code).to.equal(0);
      expect(stdout).to.match(PLAIN).and.contain('\\u{9b}2J');
    });

  it('are asked for the flows of one address, and not of those that begin like it', async () => {
    const asked: (string | null)[] = [];
    const note: Answer = (response, query) => {
      asked.push(new URLSearchParams(query).get('from'));
      response.end('{"v":1,"type":"alive"}\n');
    };
    pods = { 'gateway-0': note };
    for (const client of ['10.0.0.1', 'fd00::1', 'default.east']) await verb('tap', `client/${client}`);
    expect(asked).to.deep.equal(['10.0.0.1', 'fd00::1', 'default.east*']);
  });

  it('are asked for what stands behind a flag that may be given several times', async () => {
    const asked: string[] = [];
    pods = {
      'gateway-0': (response, query) => {
        const { namespace, service } = Object.fromEntries(new URLSearchParams(query));
        asked.push(`${namespace}/${service}`);
        response.end('{"v":1,"type":"alive"}\n');
      },
    };
    await verb('tap', '-n', 'shop', '--context', 'east', 'svc/web');
    await verb('tap', '-n', 'shop', '--as', 'jane', '--as-group', 'a', '--as-group', 'b', 'svc/web');
    expect(asked).to.deep.equal(['shop/web', 'shop/web']);
  });

  // A zone is lost, and with it a part of the egress pods of a DaemonSet.
  it('do not keep others from being heard, however many are silent', async () => {
    const names = Array.from({ length: 70 }, (_, at) => `gateway-${at}`);
    pods = {
      ...Object.fromEntries(names.map((name) => [name, () => undefined])),
      'gateway-last': (response) => json(response, reportOf({ targets: [targetOf()] })),
    };
    const { stdout, stderr, code } = await verb('stat', 'svc/web');
    expect(code).to.equal(3);
    expect(stdout).to.match(/^shop +web +.* 100% /m);
    expect(stderr.match(/no answer in time/g)).to.have.length(70);
  });

  it('are named, each with what is wrong, and hide nothing of what others say', async () => {
    const endless = '{"v":1,"process":"gateway","targets":[' + '{},'.repeat(1000);
    pods = {
      'gateway-0': (response) => json(response, reportOf({ targets: [targetOf()] })),
      'gateway-1': (response) => {
        response.setHeader('content-type', 'application/json');
        const more = () => {
          while (!response.destroyed && response.write(endless));
          if (!response.destroyed) response.once('drain', more);
        };
        more();
      },
      'gateway-2': () => undefined,
      'gateway-3': (response) => json(response, { ...reportOf(), at: 1e300 }),
      'gateway-4': (response) => void response.end(MOVES),
      'gateway-5': (response) => void response.destroy(),
      'gateway-6': (response) => json(response, { ...reportOf(), v: 2 }),
      'gateway-7': (response) => void response.writeHead(404).end('not found; this port has /ready'),
    };
    const { stdout, stderr, code } = await verb('stat', 'svc/web', '--timeout', '8s');
    expect(code).to.equal(3);
    expect(stdout).to.match(/^shop +web +.* 100% /m);
    const named = stderr
      .split('\n')
      .filter((line) => line.startsWith('linkspan: no answer from this cluster/gateway-'));
    expect(named).to.have.length(7);
    for (const line of named) expect(`${line}\n`).to.match(PLAIN);
    expect(stderr).to.contain('gateway-7: it has no such page: it is of an older version\n');
  });
});

const podOf = (name: string) => ({
  metadata: { name, labels: { 'app.kubernetes.io/component': 'gateway' } },
  spec: { containers: [{ name: 'gateway', ports: [{ name: 'linkspan-admin', containerPort: 9990 }] }] },
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
});

import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';
import { openFileTargets, parseTargets } from '../../../src/discovery/file-targets.ts';
import type { TargetSource } from '../../../src/discovery/target-spec.ts';
import { captureLog } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { useTempDir } from '../../support/temp-dir.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const GOOD = `\
clusterDomain: cluster.local
services:
  - name: web.demo.svc.cluster.local
    port: 8080
    endpoints: [10.9.0.5:8080, "[::1]:80"]
    protocol: http1
    allow: ["*.demo.serviceaccount.identity.linkerd.cluster.local"]
  - name: Echo.demo.svc.
    port: 9000
    endpoints: []
`;

function refusal(text: string): LinkspanError {
  try {
    parseTargets(text, 'targets.yaml');
  } catch (error) {
    if (error instanceof LinkspanError) return error;
    throw error;
  }
  throw new Error('was taken');
}

describe('parseTargets', () => {
  it('reads what the README shows, IPv6 endpoints too', () => {
    expect(parseTargets(GOOD, 'targets.yaml')).to.deep.equal([
      {
        name: 'web.demo.svc.cluster.local',
        port: 8080,
        endpoints: [
          { host: '10.9.0.5', port: 8080, ready: true },
          { host: '::1', port: 80, ready: true },
        ],
        protocol: 'http1',
        allow: ['*.demo.serviceaccount.identity.linkerd.cluster.local'],
      },
      { name: 'echo.demo.svc.cluster.local', port: 9000, endpoints: [] },
    ]);
  });

  const service = (lines: string) =>
    `services:\n  - name: web.demo.svc\n    port: 80\n    endpoints: []\n${lines}`;
  const table: [what: string, text: string, line: number, says: string][] = [
    ['an empty file', '', 1, 'expected object'],
    ['text that is no YAML', 'services:\n  - name: "web\n', 3, ''],
    ['a tab as indentation', 'services:\n\t- x: 1\n', 2, ''],
    ['a list without name', 'services:\n  - port: 80\n    endpoints: []\n', 2, 'services[0].name'],
    ['an unknown setting', service('    endpoint: []\n'), 5, 'did you mean "endpoints"?'],
    ['a wrong setting at the top', 'clusterdomain: x\nservices: []\n', 1, 'did you mean "clusterDomain"?'],
    [
      'a port that is none',
      'services:\n  - name: a.b\n    endpoints: []\n    port: 0\n',
      4,
      'services[0].port',
    ],
    [
      'an endpoint without port',
      'services:\n- name: a.b\n  port: 1\n  endpoints:\n  - 10.0.0.1:80\n  - 10.0.0.2\n',
      6,
      '"10.0.0.2" is not an address',
    ],
    [
      'an endpoint without host',
      'services:\n- name: a.b\n  port: 1\n  endpoints: [":80"]\n',
      4,
      '":80" is not an address',
    ],
    [
      'an endpoint with port 0',
      'services:\n- name: a.b\n  port: 1\n  endpoints: ["1.2.3.4:0"]\n',
      4,
      'is not an address',
    ],
    ['an unknown protocol', service('    protocol: quic\n'), 5, 'services[0].protocol'],
    ['a wildcard in the middle', service('    allow: ["web.*.demo"]\n'), 5, 'not an identity'],
    [
      'a time that is none',
      service('    timeout:\n      idle: 3s\n      request: soon\n'),
      7,
      'timeout.request: "soon" is not valid',
    ],
    [
      'a retry that is none',
      service('    retry: { limit: 2, http: 6xx }\n'),
      5,
      'retry.http: "6xx" is not valid',
    ],
    ['an unknown retry setting', service('    retry: { limits: 2 }\n'), 5, 'did you mean "limit"?'],
    [
      'a route that is none',
      service('    profile:\n      routes: [{ name: x, condition: { pathRegex: "/(" } }]\n'),
      5,
      'profile: spec.routes[0] is not valid',
    ],
    ['a name that is none', 'services:\n- name: "a b"\n  port: 1\n  endpoints: []\n', 2, 'not a DNS name'],
    [
      'a target that is there twice',
      'services:\n- {name: a.b, port: 1, endpoints: []}\n- {name: A.B., port: 1, endpoints: []}\n',
      3,
      'a second time',
    ],
  ];
  for (const [what, text, line, says] of table) {
    it(`refuses ${what}, with its line`, () => {
      const error = refusal(text);
      expect(error.code).to.equal('TARGETS_INVALID');
      expect(error.message).to.match(new RegExp(`^targets\\.yaml:${line}: `));
      expect(error.message).to.contain(says);
      expect(error.message).not.to.contain('\n');
    });
  }

  it('reads retries and timeouts as annotations say them, and the routes of a ServiceProfile', () => {
    const [web] = parseTargets(
      service(
        '    retry: { http: 5xx, limit: 2, timeout: 300ms, budget: { ratio: 0.5 } }\n    timeout: { request: 10s }\n',
      ),
      'targets.yaml',
    );
    expect(web?.requests).to.deep.equal({
      retry: { statuses: [{ min: 500, max: 599 }], grpc: [], limit: 2, tryTimeoutMs: 300 },
      timeouts: { requestMs: 10_000 },
      budget: { ratio: 0.5, minPerSecond: 10, ttlMs: 10_000 },
    });
    const profile = '    profile: { routes: [{ name: x, condition: { method: GET } }] }\n';
    const [routed] = parseTargets(service(`${profile}    retry: { http: 5xx }\n`), 'targets.yaml');
    expect(routed?.requests?.routes?.map(({ name }) => name)).to.deep.equal(['x']);
    expect(routed?.requests?.retry).to.equal(undefined);
  });

  it('refuses a bomb of aliases', () => {
    const levels = Array.from(
      { length: 9 },
      (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(',')}]`,
    );
    expect(refusal(`l0: &l0 [x]\n${levels.join('\n')}\n`).code).to.equal('TARGETS_INVALID');
  });
});

describe('openFileTargets', () => {
  const dir = useTempDir();
  let clock: VirtualClock;
  let source: TargetSource | undefined;
  let logged: ReturnType<typeof captureLog>;
  let told: string[] = [];

  const file = () => path.join(dir(), 'targets.yaml');
  const open = async () => {
    source = await openFileTargets({ file: file(), clock, log: logged.log });
    source.subscribe((key) => void told.push(key));
    return source;
  };
  const passing = (what: string, condition: () => boolean) =>
    eventually(what, async () => {
      await clock.advance(100);
      return condition();
    });
  const refused = () => logged.lines.filter((line) => line.level === 'error');

  beforeEach(() => {
    clock = new VirtualClock();
    logged = captureLog();
    told = [];
  });
  afterEach(() => source?.close());

  it('finds a target by name, whatever its case and final dot', async () => {
    await writeFile(file(), GOOD);
    const targets = await open();
    expect(targets.get('WEB.demo.svc.cluster.local.', 8080)?.endpoints).to.have.length(2);
    expect(targets.get('web.demo.svc.cluster.local', 8081)).to.equal(undefined);
    expect([...targets.keys()]).to.deep.equal([
      'web.demo.svc.cluster.local:8080',
      'echo.demo.svc.cluster.local:9000',
    ]);
    expect(targets.ready).to.deep.equal({ ok: true, reason: '' });
  });

  it('fails at the start when there is no good file', async () => {
    for (const text of [undefined, 'services: x']) {
      if (text !== undefined) await writeFile(file(), text);
      const error: unknown = await open().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).to.be.instanceOf(LinkspanError).with.property('code', 'TARGETS_INVALID');
      expect(clock.pending).to.equal(0);
    }
  });

  it('tells of exactly the targets that changed', async () => {
    await writeFile(file(), GOOD);
    const targets = await open();
    const added = '  - { name: new.demo.svc, port: 1, endpoints: ["10.0.0.1:1"] }\n';
    const next = GOOD.replace('endpoints: []', 'endpoints: [10.0.0.1:9000]') + added;
    await writeFile(`${file()}.tmp`, next);
    await rename(`${file()}.tmp`, file());
    await passing('the new targets', () => told.length > 0);
    expect(told).to.deep.equal(['echo.demo.svc.cluster.local:9000', 'new.demo.svc.cluster.local:1']);
    expect(targets.get('new.demo.svc.cluster.local', 1)?.endpoints).to.have.length(1);
  });

  it('forgets a target that is taken out', async () => {
    await writeFile(file(), GOOD);
    const targets = await open();
    await writeFile(file(), 'services: []');
    await passing('the change', () => told.length === 2);
    expect(targets.get('web.demo.svc.cluster.local', 8080)).to.equal(undefined);
  });

  // An edit in the wrong place must not take a serving gateway's targets away.
  it('keeps the last good targets when the file breaks, says so once, and recovers', async () => {
    await writeFile(file(), GOOD);
    const targets = await open();
    await writeFile(file(), `${GOOD}  - port: x\n`);
    await passing('the refusal', () => refused().length > 0);
    await clock.advance(60_000);
    expect(refused().map((line) => line.err?.code)).to.deep.equal(['TARGETS_INVALID']);
    expect(refused()[0]?.err?.message).to.contain(`${file()}:11: `);
    expect(targets.get('web.demo.svc.cluster.local', 8080)?.endpoints).to.have.length(2);
    expect(targets.ready.ok).to.equal(true);
    expect(targets.ready.reason).to.contain('[TARGETS_INVALID]');
    expect(told).to.deep.equal([]);
    await writeFile(file(), GOOD);
    await passing('the good file', () => targets.ready.reason === '');
  });

  it('keeps the last good targets when the file is removed', async () => {
    await writeFile(file(), GOOD);
    const targets = await open();
    await rm(file());
    await passing('the refusal', () => refused().length > 0);
    expect([...targets.keys()]).to.have.length(2);
  });
});

import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  type AccessLogMode,
  createAccessLog,
  parseAccessLogMode,
} from '../../../../src/proxy/downstream/access-log-lines.ts';
import type { AccessEntry } from '../../../../src/proxy/downstream/access-log.ts';
import { type FailureKind, ProxyFailure } from '../../../../src/proxy/http/failures.ts';
import { loggedFlow, loggedSession } from '../../../support/logged-flow.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const ENTRY: AccessEntry = {
  client: 'web.east',
  address: '10.9.0.1',
  target: 'web.demo.svc.cluster.local:80',
  endpoint: '10.0.0.1:8080',
  protocol: 'http2',
  method: 'GET',
  path: '/login?token=secret',
  status: 200,
  grpcStatus: undefined,
  bytesIn: 10,
  bytesOut: 20,
  firstByteMs: 1.23456,
  totalMs: 2,
};

/** What a session asks of a request that has ended so. */
function ended(status: number | undefined, kind?: FailureKind, grpcStatus?: number) {
  const failure = kind === undefined ? undefined : new ProxyFailure(kind, 'it failed');
  return [loggedSession(), loggedFlow({ status, grpcStatus }), failure] as const;
}

interface Schema {
  readonly required: readonly string[];
  readonly properties: Readonly<
    Record<string, { readonly type?: string; readonly enum?: readonly unknown[]; readonly const?: unknown }>
  >;
}

/** The schema of all lines, and that of the access log. */
function documentedSchemas(): readonly Schema[] {
  const file = path.join(import.meta.dirname, '../../../../docs/reference/logs.md');
  const blocks = readFileSync(file, 'utf8').matchAll(/```json\n([^`]*)```/g);
  return [...blocks].map(([, text = '']) => JSON.parse(text) as Schema);
}

describe('The access log', () => {
  function logOf(mode: AccessLogMode, random = 0.5, query = false) {
    const lines: string[] = [];
    const clock = new VirtualClock(0);
    const log = createAccessLog({
      process: 'egress',
      mode,
      query,
      write: (line) => lines.push(line),
      clock,
      random: () => random,
    });
    return { log, lines };
  }

  it('reads its mode', () => {
    expect(parseAccessLogMode('off')).to.equal('off');
    expect(parseAccessLogMode('sampled')).to.deep.equal({ share: 0.01 });
    expect(parseAccessLogMode('sampled:0.25')).to.deep.equal({ share: 0.25 });
    expect(parseAccessLogMode('sampled:1')).to.deep.equal({ share: 1 });
    for (const wrong of ['', 'on', 'sampled:', 'sampled:0', 'sampled:2', 'sampled:1e-3', 'sampled:x'])
      expect(parseAccessLogMode(wrong), wrong).to.equal(undefined);
  });

  it('wants what its mode says', () => {
    expect(logOf('off').log.wants(...ended(500, 'failfast'))).to.equal(false);
    expect(logOf('all').log.wants(...ended(200))).to.equal(true);
    const { log } = logOf('errors');
    expect(log.wants(...ended(200))).to.equal(false);
    expect(log.wants(...ended(404))).to.equal(false);
    expect(log.wants(...ended(404, 'unknown service'))).to.equal(true);
    expect(log.wants(...ended(undefined, 'connection failed'))).to.equal(true);
    expect(log.wants(...ended(503))).to.equal(true);
    expect(log.wants(...ended(200, undefined, 5))).to.equal(false);
    expect(log.wants(...ended(200, undefined, 14))).to.equal(true);
  });

  it('samples what went well and takes every error', () => {
    expect(logOf({ share: 0.25 }, 0.2).log.wants(...ended(200))).to.equal(true);
    expect(logOf({ share: 0.25 }, 0.3).log.wants(...ended(200))).to.equal(false);
    expect(logOf({ share: 0.25 }, 0.3).log.wants(...ended(500))).to.equal(true);
  });

  it('writes one line of JSON, without the query', () => {
    const { log, lines } = logOf('all');
    log.record(ENTRY);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.match(/\n$/);
    expect(JSON.parse(lines[0] ?? '')).to.deep.equal({
      level: 'info',
      time: '1970-01-01T00:00:00.000Z',
      process: 'egress',
      client: 'web.east',
      target: 'web.demo.svc.cluster.local:80',
      endpoint: '10.0.0.1:8080',
      protocol: 'http2',
      method: 'GET',
      path: '/login',
      status: 200,
      bytes_in: 10,
      bytes_out: 20,
      first_byte_ms: 1.235,
      total_ms: 2,
      msg: 'access',
    });
  });

  it('has what docs/reference/logs.md says, of the types that stand there', () => {
    const { log, lines } = logOf('all');
    const rest = {
      via: 'egress.east',
      attempts: 2,
      grpcStatus: 14,
      failure: 'failfast',
      reason: 'why',
    } as const;
    log.record({ ...ENTRY, ...rest, fault: 'delay', traceId: '4bf92f3577b34da6a3ce929d0e0e4736' });
    const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
    const [all, access] = documentedSchemas();
    const properties = { ...all?.properties, ...access?.properties };
    expect(Object.keys(line).filter((key) => !(key in properties))).to.deep.equal([]);
    expect(Object.keys(access?.properties ?? {}).filter((key) => !(key in line))).to.deep.equal([]);
    for (const name of [...(all?.required ?? []), ...(access?.required ?? [])])
      expect(line, name).to.have.property(name);
    for (const [key, value] of Object.entries(line)) {
      const { type = 'string', enum: among = [value], const: only = value } = properties[key] ?? {};
      expect([typeof value, among, value], key).to.satisfy(
        ([kind]: [string]) => kind === (type === 'integer' ? 'number' : type) && among.includes(value),
      );
      expect(value, key).to.equal(only);
    }
  });

  it('keeps the query when asked to, and no line can be forged by a path', () => {
    const { log, lines } = logOf('all', 0.5, true);
    log.record({ ...ENTRY, path: '/a?b=1"\n{"level":"error"}' });
    expect(lines[0]?.split('\n')).to.have.length(2);
    expect((JSON.parse(lines[0] ?? '') as { path: string }).path).to.equal('/a?b=1"\n{"level":"error"}');
  });

  // Logs are read on terminals (kubectl logs), and a path is whatever bytes a client has sent.
  it('moves no terminal, and is the same for programs', () => {
    const { log, lines } = logOf('all');
    const path = '/a\u001b[2J\u009b2J\u202emoc';
    log.record({ ...ENTRY, path, reason: path });
    expect(lines[0]).to.match(/^[^\p{Cc}\p{Cf}]+\n$/u);
    expect(JSON.parse(lines[0] ?? '')).to.include({ path, reason: path });
  });

  for (const [sent, logged] of [
    ['http://user:secret@web.demo/cart?token=1', '/cart'],
    ['http://user:secret@web.demo', '/'],
    ['/cart#secret', '/cart'],
    ['*', '*'],
    ['user:secret@web.demo', undefined],
  ] as const)
    it(`has of ${sent} the path ${logged}`, () => {
      const { log, lines } = logOf('all');
      log.record({ ...ENTRY, path: sent });
      expect((JSON.parse(lines[0] ?? '') as { path?: string }).path).to.equal(logged);
    });
});

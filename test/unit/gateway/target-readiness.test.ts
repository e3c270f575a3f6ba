import { expect } from 'chai';
import { targetKey } from '../../../src/api/ports/target-key.ts';
import type { TargetSource, TargetSpec } from '../../../src/discovery/target-spec.ts';
import { bestReadiness, readinessQuery, targetReadiness } from '../../../src/gateway/target-readiness.ts';

const endpoint = (ready: boolean) => ({ host: '10.0.0.1', port: 8080, ready });

function source(specs: readonly TargetSpec[], synced = true): TargetSource {
  const table = new Map(specs.map((spec) => [targetKey(spec.name, spec.port), spec]));
  return {
    get: (name, port) => table.get(targetKey(name, port)),
    keys: () => table.keys(),
    subscribe: () => () => undefined,
    ready: synced ? { ok: true, reason: '' } : { ok: false, reason: 'the API server has not answered yet' },
    close: () => Promise.resolve(),
  };
}

describe('readiness of a target', () => {
  const name = 'web.demo.svc.cluster.local';
  const targets = source([
    { name, port: 80, endpoints: [endpoint(false), endpoint(true)] },
    { name, port: 9090, endpoints: [endpoint(false), endpoint(false), endpoint(false)] },
  ]);
  const of = (question: Parameters<typeof targetReadiness>[1]) => targetReadiness(targets, question);

  it('is given with one ready endpoint', () => {
    expect(of({ namespace: 'demo', service: 'web', port: 80 })).to.deep.equal({ status: 200, reason: '' });
  });

  it('says how many endpoints there are when none is ready', () => {
    expect(of({ namespace: 'demo', service: 'web', port: 9090 })).to.deep.equal({
      status: 503,
      reason: 'no ready endpoints for web.demo.svc.cluster.local:9090 (3 known, 0 ready)',
    });
  });

  it('of a Service is that of all its ports', () => {
    expect(of({ namespace: 'demo', service: 'web' }).status).to.equal(503);
  });

  it('does not exist for what is not exported', () => {
    expect(of({ namespace: 'demo', service: 'we' }).status).to.equal(404);
    expect(of({ namespace: 'dem', service: 'web' }).status).to.equal(404);
    expect(of({ namespace: 'demo', service: 'web', port: 81 })).to.deep.equal({
      status: 404,
      reason: 'demo/web port 81 is not exported by this cluster',
    });
  });

  it('is not denied before the exports are known', () => {
    const { status, reason } = targetReadiness(source([], false), { namespace: 'demo', service: 'web' });
    expect([status, reason]).to.deep.equal([503, 'the API server has not answered yet']);
  });

  it('is asked for by namespace, name and port', () => {
    const ask = (path: string, query = '') => readinessQuery(path.split('/'), new URLSearchParams(query));
    expect(ask('demo/web')).to.deep.equal({ namespace: 'demo', service: 'web' });
    expect(ask('demo/web', 'port=80')).to.deep.equal({ namespace: 'demo', service: 'web', port: 80 });
    for (const path of ['demo', 'demo/', '/web', 'demo/web/x']) expect(ask(path)).to.equal(undefined);
    for (const port of ['http', '-1', '', '123456'])
      expect(ask('demo/web', `port=${port}`)).to.equal(undefined);
  });

  it('of several processes is the best one', () => {
    const answers = ([404, 200, 503] as const).map((status) => ({ status, reason: String(status) }));
    expect(bestReadiness(answers).status).to.equal(200);
    expect(bestReadiness([]).status).to.equal(503);
  });
});

import { once } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { systemClock } from '../../../../src/base/clock.ts';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { HistoryAnswers } from '../../../../src/dashboard/history/history-answers.ts';
import { PrometheusClient } from '../../../../src/dashboard/history/prometheus-client.ts';
import { anonymousAccess } from '../../../../src/kube/client/access.ts';
import { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { closedIn } from '../../../support/closed-in.ts';
import { eventually } from '../../../support/eventually.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

type Answer = (query: URLSearchParams, response: ServerResponse) => void;

const WEB = { component: 'egress', dst_namespace: 'shop', dst_service: 'web' };
const vector = (...result: readonly object[]) => ({
  status: 'success',
  data: { resultType: 'vector', result },
});
const matrix = (...values: readonly (readonly [number, string])[]) => ({
  status: 'success',
  data: { resultType: 'matrix', result: values.length === 0 ? [] : [{ metric: {}, values }] },
});
const json =
  (body: object, status = 200): Answer =>
  (_, response) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

describe('history of a page', () => {
  const closed = closedIn(after);
  const asked: { readonly path: string; readonly query: URLSearchParams }[] = [];
  let answer: Answer;
  let history: HistoryAnswers;
  const clock = new VirtualClock();

  before(async () => {
    const server = http.createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://prometheus');
      asked.push({ path: pathname, query: searchParams });
      answer(searchParams, response);
    });
    closed(server.listen(0, '127.0.0.1'), (one) => {
      one.closeAllConnections();
      one.close();
    });
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const options = { clock: systemClock, random: Math.random, maxTries: 1 };
    const client = closed(new KubeClient(anonymousAccess(`http://127.0.0.1:${port}/prom`), options), (one) =>
      one.close(),
    );
    history = new HistoryAnswers(new PrometheusClient(client), clock);
  });

  beforeEach(() => void asked.splice(0));

  const never = new AbortController().signal;
  const table = (text: string, signal = never) => history.table(new URLSearchParams(text), signal);
  const series = (text: string) => history.series(new URLSearchParams(text), never);
  const failure = async (asking: Promise<unknown>) => {
    const error: unknown = await asking.catch((thrown: unknown) => thrown);
    return `${codeOf(error) ?? ''} ${(error as Error).message}`;
  };

  it('is a table of what the recording rules have', async () => {
    answer = (query, response) => {
      const text = query.get('query') ?? '';
      const at = Number(query.get('time'));
      const value = text.includes('0.99') ? '250' : text.includes('failures') ? '0.5' : '10';
      json(vector({ metric: WEB, value: [at, value] }))(query, response);
    };
    const { rows, from, to, cut } = await table('kind=service&range=1h&end=7200');
    expect([from, to, cut]).to.deep.equal([3600, 7200, false]);
    expect(rows).to.deep.equal([
      {
        source: '',
        namespace: 'shop',
        name: 'web',
        cluster: '',
        side: 'egress',
        rps: 10,
        success: 0.95,
        latency_ms_p50: 10,
        latency_ms_p95: 10,
        latency_ms_p99: 250,
      },
    ]);
    expect(asked[0]?.path).to.equal('/prom/api/v1/query');
    expect(asked[0]?.query.get('query')).to.match(/linkspan_service:responses:rate5m\{.*\}\[3600s\]/);
    // A week of every bucket is not asked for.
    asked.splice(0);
    expect((await table('kind=service&range=7d')).rows[0]?.latency_ms_p99).to.equal(null);
    expect(asked).to.have.length(2);
  });

  it('is columns of one length, whatever of them there is', async () => {
    answer = (query, response) => {
      const [from, step] = [Number(query.get('start')), Number(query.get('step'))];
      const text = query.get('query') ?? '';
      const found = text.startsWith('histogram')
        ? matrix()
        : text.includes('failures')
          ? matrix([from + step, '1'])
          : matrix([from, '0'], [from + step, '4'], [from + 3 * step, 'NaN']);
      json(found)(query, response);
    };
    const found = await series('kind=service&range=15m&end=9001&namespace=shop&name=web&side=gateway');
    expect(found.step).to.equal(15);
    expect(found.to).to.equal(9000);
    expect(found.at).to.have.length(61);
    for (const column of [found.rps, found.success, found.p50, found.p99]) expect(column).to.have.length(61);
    expect(found.rps.slice(0, 4)).to.deep.equal([0, 4, null, null]);
    expect(found.success.slice(0, 4)).to.deep.equal([null, 0.75, null, null]);
  });

  it('asks for what was named, and for nothing more, whatever the name is', async () => {
    answer = json(matrix());
    const name = 'a"} or vector(1) or {x="\\\n';
    await series(`kind=link&range=30d&name=${encodeURIComponent(name)}`);
    const [first] = asked;
    expect(first?.query.get('query')).to.contain(`dst_target_cluster=${JSON.stringify(name)}`);
    expect(Number(first?.query.get('step'))).to.equal(10_800);
  });

  it('says what is wrong with what is asked', async () => {
    for (const [text, told] of [
      ['kind=pod&range=1h', /kind/],
      ['kind=service&range=2y', /range/],
      ['kind=service&range=1h&end=soon', /end/],
      [`kind=service&range=1h&end=1e300`, /end/],
    ] as const)
      expect(await failure(table(text)), text).to.match(told);
    expect(asked).to.have.length(0);
  });

  it('says what is wrong with a Prometheus that is', async () => {
    const cases: readonly [Answer, RegExp][] = [
      [
        json({ status: 'error', errorType: 'bad_data', error: 'parse error' }, 400),
        /^PROMETHEUS_REFUSED .*bad_data: parse error/,
      ],
      [
        json({ status: 'error', errorType: 'timeout', error: 'query timed out' }, 503),
        /^PROMETHEUS_TIMEOUT .*timed out/,
      ],
      [
        json({ kind: 'Status', status: 'Failure', message: 'no such service' }, 404),
        /^PROMETHEUS_REFUSED .*no such service/,
      ],
      [json({ hello: 'world' }), /^PROMETHEUS_REFUSED .*no answer of Prometheus/],
      [json(vector({ metric: WEB, value: ['now', 1] })), /^PROMETHEUS_REFUSED .*no answer of Prometheus/],
      [
        json(vector(...Array.from({ length: 2001 }, () => ({ metric: WEB, value: [1, '1'] })))),
        /^PROMETHEUS_REFUSED/,
      ],
      [
        (_, response) => void response.end('<html>Sign in</html>'),
        /^PROMETHEUS_REFUSED .*no answer of Prometheus/,
      ],
      [(_, response) => void response.destroy(), /^PROMETHEUS_REFUSED /],
    ];
    for (const [wrong, told] of cases) {
      answer = wrong;
      expect(await failure(table('kind=cluster&range=1h'))).to.match(told);
    }
  });

  it('asks no longer than somebody waits', async () => {
    const gone = new AbortController();
    let broken = 0;
    answer = (_, response) => {
      response.once('close', () => broken++);
      gone.abort();
    };
    await failure(table('kind=cluster&range=1h', gone.signal));
    await eventually('the question is taken back', () => broken > 0);
  });
});

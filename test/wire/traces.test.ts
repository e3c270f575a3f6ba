import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { closedIn } from '../support/closed-in.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { GRPC_FIELDS } from '../support/grpc.ts';
import { grpcOrigin, http1Origin, http2Origin } from '../support/origins.ts';
import { OtlpCollector, type ReceivedSpan } from '../support/otlp-collector.ts';
import { RUNTIMES } from '../support/runtime-process.ts';

const service = (name: string) => `${name}.demo.svc.cluster.local`;
const GATEWAY = 'gateway.linkerd.serviceaccount.identity.linkerd.west.example';
const EGRESS = 'egress.linkspan.serviceaccount.identity.linkerd.west.example';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const [SERVER, CLIENT] = [2, 3];
/** What an origin's page says of the request that came to it. */
interface Facts {
  readonly headers: Readonly<Record<string, string>>;
}

/** Spans in the order of the hops that they are of: each the parent of the next. */
function chainOf(spans: readonly ReceivedSpan[], from: string): ReceivedSpan[] {
  const chain: ReceivedSpan[] = [];
  for (let parent = from; ; ) {
    const next = spans.find(({ parentId }) => parentId === parent);
    if (next === undefined) return chain;
    chain.push(next);
    parent = next.spanId;
  }
}

for (const runtime of RUNTIMES)
  describe(`traces through egress and gateway on ${runtime}`, () => {
    const closed = closedIn(after);
    let collector: OtlpCollector;
    let gateway: GatewayProcess;
    let egress: EgressProcess;

    before(async function () {
      const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-traces-'));
      closed(dir, (one) => rmSync(one, { recursive: true }));
      collector = closed(await OtlpCollector.start(), (one) => one.close());
      const issuer = await createIssuer(await createAnchor({}), {});
      const one = closed(await http1Origin(), (origin) => origin.close());
      const two = closed(await http2Origin(), (origin) => origin.close());
      const grpc = closed(await grpcOrigin(), (origin) => origin.close());
      const gone = await freePort();
      const env = {
        OTEL_BSP_SCHEDULE_DELAY: '20',
        OTEL_RESOURCE_ATTRIBUTES: 'k8s.cluster.name=west,k8s.pod.name=one',
        OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
        OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=blue%20team',
      };
      // Each worker sends its own spans, and the parent counts them all.
      const shared =
        runtime === 'node' ? ['--workers', '2', '--listen', `127.0.0.1:${await freePort()}`] : [];
      const page = { profile: { routes: [{ name: 'page', condition: { pathRegex: '/hello' } }] } };
      const again = { retry: { http: '503', limit: 2 } };
      gateway = closed(
        await GatewayProcess.start({
          runtime,
          dir: mkdtempSync(path.join(dir, 'gateway-')),
          identity: await issueLeaf(issuer, { identity: GATEWAY }),
          targets: [
            { name: service('one'), ports: [one.port], protocol: 'http1' },
            { name: service('two'), ports: [two.port], protocol: 'http2', rules: page },
            { name: service('grpc'), ports: [grpc.port], protocol: 'http2' },
            { name: service('again'), ports: [one.port], protocol: 'http1', rules: again },
            { name: service('gone'), ports: [gone], protocol: 'http1' },
          ],
          env: { ...env, LINKSPAN_CLUSTER_NAME: 'west' },
          flags: ['--trace-endpoint', `${collector.endpoint}/`, '--access-log', 'all', ...shared],
        }),
        (process) => process.kill(),
      );
      egress = closed(
        await EgressProcess.start({
          runtime,
          dir: mkdtempSync(path.join(dir, 'egress-')),
          identity: await issueLeaf(issuer, { identity: EGRESS }),
          gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: GATEWAY },
          services: ['one', 'two', 'grpc', 'again', 'gone'].map((name) => ({ name: service(name) })),
          traces: { endpoint: collector.endpoint, sample: 0 },
          cluster: 'east',
          env: { ...env, LINKSPAN_CLUSTER_NAME: 'east' },
        }),
        (process) => process.kill(),
      );
    });

    /** The spans of a trace, once as many as expected have come. */
    const traceOf = (traceId: string, count: number) =>
      collector.until(`there are ${count} spans of ${traceId}`, (spans) => {
        const found = spans.filter((span) => span.traceId === traceId);
        return found.length >= count ? found : undefined;
      });
    let nth = 0;
    const newTrace = () => TRACE.slice(0, 28) + (0x1000 + nth++).toString(16);
    const ask = (name: string, headers: Record<string, string>, page = '/facts?secret=1') =>
      egress.client.request('http1', service(name), { path: page, headers });
    const factsOf = ({ body }: { readonly body: Buffer | string }) => JSON.parse(String(body)) as Facts;

    it('has a span for each side of both hops, each the parent of the next, and of the application', async () => {
      const trace = newTrace();
      const tracestate = 'vendor=opaque,other=1';
      const facts = factsOf(await ask('one', { traceparent: `00-${trace}-${PARENT}-01`, tracestate }));
      const chain = chainOf(await traceOf(trace, 4), PARENT);
      expect(chain.map(({ kind, resource }) => [resource['service.name'], kind])).to.deep.equal([
        ['linkspan-egress', SERVER],
        ['linkspan-egress', CLIENT],
        ['linkspan-gateway', SERVER],
        ['linkspan-gateway', CLIENT],
      ]);
      const last = chain.at(-1) as ReceivedSpan;
      expect(facts.headers).to.include({ traceparent: `00-${trace}-${last.spanId}-01`, tracestate });
      for (const span of chain) {
        expect(span.name).to.equal('GET');
        expect(span.traceState).to.equal(tracestate);
        expect(span.status).to.equal(0);
        expect(span.attributes).to.include({ 'url.path': '/facts', 'http.response.status_code': 200 });
        expect(JSON.stringify([span.attributes, span.resource])).not.to.include('secret');
        expect(span.resource).to.include({ 'k8s.cluster.name': 'west', 'k8s.pod.name': 'one' });
      }
      const [first, sent, taken] = chain as [ReceivedSpan, ReceivedSpan, ReceivedSpan];
      expect(sent.attributes).to.include({
        'linkspan.cluster.target': 'west',
        'network.peer.address': '127.0.0.1',
        'network.peer.port': gateway.port,
      });
      expect(first.attributes).to.include({
        'linkspan.mirror': `demo/${service('one')}`,
        'linkspan.cluster.source': 'east',
        'linkspan.cluster.target': 'west',
        'linkspan.tries': 1,
      });
      expect(taken.attributes).to.include({
        'linkspan.client.identity': EGRESS,
        'linkspan.cluster.source': 'east?',
        'linkspan.cluster.target': 'west',
      });
      expect(sent.startNs >= first.startNs && sent.endNs <= first.endNs).to.equal(true);
      const [request] = collector.requests;
      expect(request?.url).to.equal('/v1/traces');
      expect(request?.headers).to.include({ 'x-tenant': 'blue team', 'content-encoding': 'gzip' });
    });

    for (const name of ['two', 'grpc'] as const)
      it(`goes on over HTTP/2: ${name}`, async () => {
        const trace = newTrace();
        const headers = { traceparent: `00-${trace}-${PARENT}-01` };
        const call = { method: 'POST', body: [Buffer.from('hello')], path: '/echo' };
        const asked = name === 'two' ? { headers } : { ...call, headers: { ...headers, ...GRPC_FIELDS } };
        await egress.client.request('http2', service(name), { path: '/hello', ...asked });
        const chain = chainOf(await traceOf(trace, 4), PARENT);
        expect(chain).to.have.length(4);
        if (name === 'two') {
          // What follows a route is called after it, where the route is known.
          expect(chain.map((span) => span.name)).to.deep.equal(['GET', 'GET', 'GET page', 'GET page']);
        }
        if (name === 'grpc')
          for (const span of chain)
            expect(span.attributes).to.include({
              'rpc.system.name': 'grpc',
              'rpc.response.status_code': 'OK',
            });
      });

    const id = 'a3ce929d0e0e4736';
    const forms: Readonly<Record<string, (trace: string) => Record<string, string>>> = {
      b3: (trace) => ({ b3: `${trace}-${PARENT}-1` }),
      'b3 with 64 bits': () => ({ b3: `${id}-${PARENT}-d` }),
      'b3 in fields': (trace) => ({ 'x-b3-traceid': trace, 'x-b3-spanid': PARENT, 'x-b3-sampled': '1' }),
      'grpc-trace-bin': (trace) => ({
        'grpc-trace-bin': Buffer.from(`0000${trace}01${PARENT}0201`, 'hex').toString('base64'),
      }),
    };
    for (const [form, headersOf] of Object.entries(forms))
      it(`is continued in the form in which it came: ${form}`, async () => {
        const trace = form.includes('64') ? id.padStart(32, '0') : newTrace();
        const sent = headersOf(trace);
        const { headers } = factsOf(await ask('one', sent));
        const chain = chainOf(await traceOf(trace, 4), PARENT);
        expect(chain).to.have.length(4);
        const [last, before] = [chain[3]?.spanId ?? '', chain[2]?.parentId ?? ''];
        const expected: Readonly<Record<string, Record<string, string>>> = {
          b3: { b3: `${trace}-${last}-1-${before}` },
          'b3 with 64 bits': { b3: `${id}-${last}-d-${before}` },
          'b3 in fields': {
            'x-b3-traceid': trace,
            'x-b3-spanid': last,
            'x-b3-parentspanid': before,
            'x-b3-sampled': '1',
          },
          'grpc-trace-bin': {
            'grpc-trace-bin': Buffer.from(`0000${trace}01${last}0201`, 'hex').toString('base64').slice(0, 39),
          },
        };
        const context = Object.keys(headers).filter((name) => /trace|b3/.test(name));
        expect(Object.fromEntries(context.map((name) => [name, headers[name]]))).to.deep.equal(
          expected[form],
        );
      });

    it('passes a request on as it came where nobody wants it recorded', async () => {
      const [unwanted, malformed] = [`00-${newTrace()}-${PARENT}-00`, `00-${TRACE}-${PARENT}-0x`];
      for (const traceparent of [unwanted, malformed])
        expect(factsOf(await ask('one', { traceparent })).headers).to.include({ traceparent });
      expect(factsOf(await ask('one', {})).headers).not.to.have.property('traceparent');
      // Whatever was recorded of them would have come before this.
      const trace = newTrace();
      await ask('one', { traceparent: `00-${trace}-${PARENT}-01` });
      await traceOf(trace, 4);
      expect(collector.spans.filter(({ traceId }) => unwanted.includes(traceId))).to.deep.equal([]);
    });

    it('records what fails where it failed, although nobody wants it recorded', async () => {
      const trace = newTrace();
      const { status } = await ask('gone', { traceparent: `00-${trace}-${PARENT}-00` });
      expect(status).to.equal(502);
      const [span] = await traceOf(trace, 1);
      expect(span?.resource['service.name']).to.equal('linkspan-gateway');
      expect(span?.parentId).to.equal(PARENT);
      expect(span?.status).to.equal(2);
      expect(span?.attributes).to.include({
        'error.type': 'connection failed',
        'http.response.status_code': 502,
      });
    });

    it('has a span for each try', async () => {
      const trace = newTrace();
      await ask('again', { traceparent: `00-${trace}-${PARENT}-01` }, '/status/503');
      const spans = await traceOf(trace, 6);
      const [, , hop] = chainOf(spans, PARENT);
      const tries = spans.filter(({ parentId }) => parentId === hop?.spanId);
      const counts = tries.map(({ attributes }) => attributes['http.request.resend_count'] ?? 0);
      expect(counts).to.have.members([0, 1, 2]);
      for (const { attributes, status } of tries) {
        expect(attributes).to.include({ 'error.type': '503', 'http.response.status_code': 503 });
        expect(status).to.equal(2);
      }
      expect(hop?.attributes).to.include({ 'linkspan.tries': 3 });
    });

    it('follows an upgraded connection until it ends, and one whose client leaves', async () => {
      const trace = newTrace();
      const traceparent = `00-${trace}-${PARENT}-01`;
      const socket = await egress.client.connect(service('one'));
      socket.write(
        `GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\ntraceparent: ${traceparent}\r\n\r\n`,
      );
      await new Promise((resolve) => socket.once('data', resolve));
      socket.destroy();
      const chain = chainOf(await traceOf(trace, 4), PARENT);
      expect(chain.map(({ attributes }) => attributes['http.response.status_code'])).to.deep.equal([
        101, 101, 101, 101,
      ]);
      const left = newTrace();
      const leaving = await egress.client.connect(service('one'));
      leaving.write(`GET /silence HTTP/1.1\r\nhost: x\r\ntraceparent: 00-${left}-${PARENT}-01\r\n\r\n`);
      await eventually('it is under way', async () =>
        /linkspan_requests_in_flight\{[^}]*one[^}]*\} 1/.test(await gateway.metrics()),
      );
      leaving.destroy();
      const given = await traceOf(left, 4);
      expect(given.map(({ attributes }) => attributes['error.type'])).to.deep.equal(
        Array.from({ length: 4 }, () => 'cancelled'),
      );
    });

    it('counts spans, says trace ids in the access log, and sends what waits when it ends', async () => {
      const exported = async (process: EgressProcess | GatewayProcess) =>
        Number(/linkspan_spans_total\{result="exported"\} (\d+)/.exec(await process.metrics())?.[1] ?? 0);
      expect(await exported(gateway)).to.be.greaterThan(0);
      expect(await exported(egress)).to.be.greaterThan(0);
      const trace = newTrace();
      await ask('one', { traceparent: `00-${trace}-${PARENT}-01` });
      await eventually('it is logged', () => gateway.log.includes(`"trace_id":"${trace}"`));
      collector.answer = () => ({ status: 503, headers: { 'retry-after': '60' } });
      const last = newTrace();
      await ask('one', { traceparent: `00-${last}-${PARENT}-01` });
      const asked = collector.requests.length;
      await eventually('both wait', () => collector.requests.length >= asked + 2);
      collector.answer = () => ({ status: 200 });
      egress.terminate();
      gateway.terminate();
      expect(await Promise.all([egress.ended(), gateway.ended()])).to.deep.equal([0, 0]);
      await traceOf(last, 4);
    });
  });

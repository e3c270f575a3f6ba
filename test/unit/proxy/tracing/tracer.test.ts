import { expect } from 'chai';
import { Hold } from '../../../../src/proxy/filters/request-filter.ts';
import { ProxyFailure } from '../../../../src/proxy/http/failures.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { NO_BODY, type OutgoingRequest, type UpstreamHandler } from '../../../../src/proxy/http/messages.ts';
import { spanName, type TracedHead } from '../../../../src/proxy/tracing/span-attributes.ts';
import { type TracedSession, Tracer, type TracerOptions } from '../../../../src/proxy/tracing/tracer.ts';
import { openTraced } from '../../../../src/proxy/tracing/traced-try.ts';
import { exportRequest } from '../../../../src/telemetry/traces/otlp.ts';
import { decodeExport } from '../../../support/otlp-collector.ts';
import { seeded } from '../../../support/seeded.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const SESSION = {
  target: { label: 'web.shop.svc.cluster.local:80' },
  client: { remoteAddress: '10.0.0.7' },
  clientName: 'web.east',
  rules: {},
};

/** A request's head. */
function headOf(of: Partial<TracedHead> = {}, traceparent?: string): TracedHead {
  const context = traceparent === undefined ? [] : [makeField('traceparent', traceparent)];
  return {
    method: 'GET',
    path: '/a?token=secret',
    authority: 'web.shop:8080',
    version: 'HTTP/1.1',
    ...of,
    fields: [...(of.fields ?? []), ...context],
  };
}

describe('Tracer', () => {
  const clock = new VirtualClock();
  let spans: Buffer[];
  let capped: number;
  const tracerWith = (options: Partial<TracerOptions> = {}) => {
    spans = [];
    capped = 0;
    const sink = { add: (span: Buffer) => void spans.push(span), capped: () => void capped++ };
    const how = { share: 0, paths: true, cluster: 'west' };
    return new Tracer({ sink, clock, random: seeded(7), ...how, ...options });
  };
  const decoded = () => decodeExport(exportRequest({ attributes: {}, version: '1' }, spans));
  const flowOf = (asked: TracedHead) => ({
    asked,
    context: asked.fields.some(({ lower }) => lower === 'traceparent') ? asked.fields : undefined,
    startedAt: clock.monotonic(),
    hold: undefined,
  });
  const begin = (tracer: Tracer, asked: TracedHead) => tracer.begin(SESSION, flowOf(asked));

  it('follows what was decided before, and else records its share', () => {
    const tracer = tracerWith({ share: 0.25, perSecond: 1e6 });
    const share = (head: () => TracedHead) => {
      let taken = 0;
      for (let n = 0; n < 2000; n++) if (begin(tracer, head()) !== undefined) taken++;
      return taken / 2000;
    };
    expect(share(() => headOf({}, `00-${TRACE}-${SPAN}-01`))).to.equal(1);
    expect(share(() => headOf({}, `00-${TRACE}-${SPAN}-00`))).to.equal(0);
    expect(share(() => headOf())).to.be.within(0.2, 0.3);
    expect(share(() => headOf({}, 'malformed'))).to.be.within(0.2, 0.3);
  });

  it('looks at nothing of a request without context where it records no share', () => {
    const flow = {
      startedAt: 0,
      hold: undefined,
      get asked(): TracedHead {
        throw new Error('it was looked at');
      },
    };
    expect(tracerWith().begin(SESSION, flow)).to.equal(undefined);
  });

  it('makes 100 spans a second, whoever asks for more, and counts the others', async () => {
    const tracer = tracerWith();
    const ask = () => begin(tracer, headOf({}, `00-${TRACE}-${SPAN}-01`));
    let taken = 0;
    for (let n = 0; n < 1000; n++) if (ask() !== undefined) taken++;
    expect([taken, capped]).to.deep.equal([100, 900]);
    const failed = { ...flowOf(headOf()), status: 502 };
    tracer.end(SESSION, failed, { failure: new ProxyFailure('connection failed', 'gone'), attempts: 1 });
    expect(spans).to.deep.equal([]);
    await clock.advance(500);
    for (let n = 0; n < 1000; n++) if (ask() !== undefined) taken++;
    expect(taken).to.be.within(149, 151);
  });

  it('goes on at the hop where no span is left for a try', () => {
    const tracer = tracerWith({ perSecond: 1 });
    const trace = begin(tracer, headOf({}, `00-${TRACE}-${SPAN}-01`));
    const [field] = trace?.beginTry('10.0.0.9:80', 'web:80').sent([]) ?? [];
    expect(field?.value).to.equal(`00-${TRACE}-${trace?.spanId}-01`);
  });

  it('tells neither query nor more than it may of what a stranger sends', () => {
    const tracer = tracerWith();
    const head = headOf(
      { method: 'X'.repeat(5000), path: `/${'a'.repeat(60_000)}?token=secret`, authority: 'h'.repeat(5000) },
      `00-${TRACE}-${SPAN}-01`,
    );
    begin(tracer, head)?.end({ ...flowOf(head), status: 200 }, { failure: undefined, attempts: 1 });
    expect(spans[0]?.length).to.be.below(2000);
    const [span] = decoded();
    expect(JSON.stringify(span, (_, value: unknown) => String(value))).not.to.include('secret');
    expect(span?.name).to.equal('HTTP');
    expect(span?.attributes).to.include({ 'http.request.method': '_OTHER' });
    const quiet = tracerWith({ paths: false });
    begin(quiet, head)?.end({ ...flowOf(head), status: 200 }, { failure: undefined, attempts: 1 });
    expect(decoded()[0]?.attributes).not.to.have.property('url.path');
  });

  it('tells no more of a path than the access log does', () => {
    for (const path of ['/way?q=secret#secret', 'http://user:secret@host/way', 'user:secret@host:443']) {
      const tracer = tracerWith();
      const head = headOf({ path }, `00-${TRACE}-${SPAN}-01`);
      begin(tracer, head)?.end({ ...flowOf(head), status: 200 }, { failure: undefined, attempts: 1 });
      const [span] = decoded();
      expect(
        JSON.stringify(span, (_, value: unknown) => String(value)),
        path,
      ).not.to.include('secret');
    }
  });

  it('tells a failure that nobody has asked for, in its trace', async () => {
    const tracer = tracerWith();
    const head = headOf({}, `00-${TRACE}-${SPAN}-00`);
    const flow = { ...flowOf(head), status: 403 };
    await clock.advance(20);
    const failure = new ProxyFailure('unauthorized', 'it may not');
    tracer.end(SESSION, flow, { failure, attempts: undefined });
    const [span] = decoded();
    expect(span).to.include({ traceId: TRACE, parentId: SPAN, status: 0, flags: 0x301 });
    expect(span?.attributes).to.deep.include({
      'error.type': 'unauthorized',
      'linkspan.policy': 'unauthorized',
      'linkspan.client.identity': 'web.east',
      'server.address': 'web.shop',
      'server.port': 8080,
      'network.peer.address': '10.0.0.7',
    });
    expect((span?.endNs ?? 0n) - (span?.startNs ?? 0n)).to.equal(20_000_000n);
    tracer.end(SESSION, flow, { failure: undefined, attempts: 1 });
    expect(spans).to.have.length(1);
  });

  it('says what a drill has done to it, how often it was sent, and which route it follows', () => {
    const tracer = tracerWith();
    const head = headOf({}, `00-${TRACE}-${SPAN}-01`);
    const hold = new Hold(clock, 5, { over: () => undefined, pass: () => undefined });
    const trace = begin(tracer, head);
    trace?.follows('page');
    for (const endpoint of ['10.0.0.8:80', '10.0.0.9:80'])
      trace?.beginTry(endpoint, 'web:80').failed(new ProxyFailure('connection failed', 'gone'));
    const failure = new ProxyFailure('connection failed', 'gone');
    trace?.end({ ...flowOf(head), hold, status: 502 }, { failure, attempts: undefined });
    const [first, second, hop] = decoded();
    expect([first, second, hop].map((span) => span?.name)).to.deep.equal(Array(3).fill('GET page'));
    expect(hop?.attributes).to.include({ 'linkspan.fault': 'delay', 'linkspan.tries': 2 });
    expect(first?.attributes).not.to.have.property('http.request.resend_count');
    expect(second?.attributes).to.include({ 'http.request.resend_count': 1 });
  });

  const places: readonly (readonly [
    what: string,
    options: Partial<TracerOptions>,
    from: TracedSession['from'],
    said: Readonly<Record<string, string | undefined>>,
  ])[] = [
    ['a gateway, and of whom nobody knows more', {}, undefined, { target: 'west' }],
    ['a gateway, by proof', {}, { cluster: 'east', proven: true }, { source: 'east', target: 'west' }],
    ['a gateway, by its word', {}, { cluster: 'east', proven: false }, { source: 'east?', target: 'west' }],
    [
      'an egress',
      { cluster: 'east', placeOf: () => ({ cluster: 'west', link: 'to-west' }) },
      undefined,
      { source: 'east', target: 'west', link: 'to-west' },
    ],
    [
      'an egress that leads to several',
      { cluster: 'east', placeOf: () => undefined },
      undefined,
      { source: 'east' },
    ],
    ['a process that was told nothing', { cluster: undefined }, undefined, {}],
  ];
  for (const [what, options, from, { source, target, link }] of places)
    it(`says from which cluster to which one at ${what}`, () => {
      const tracer = tracerWith(options);
      const head = headOf({}, `00-${TRACE}-${SPAN}-01`);
      const trace = tracer.begin({ ...SESSION, from }, flowOf(head));
      trace?.beginTry('10.0.0.9:80', SESSION.target.label);
      trace?.end({ ...flowOf(head), status: 200 }, { failure: undefined, attempts: 1 });
      const [tried, hop] = decoded();
      const keys = ['linkspan.cluster.source', 'linkspan.cluster.target', 'linkspan.link'];
      expect(keys.map((key) => hop?.attributes[key])).to.deep.equal([source, target, link]);
      expect(keys.map((key) => tried?.attributes[key])).to.deep.equal([undefined, target, link]);
    });

  const names: readonly (readonly [head: Partial<TracedHead>, route: string, name: string])[] = [
    [{}, '', 'GET'],
    [{}, 'books', 'GET books'],
    [{}, 'GET /books/{id}', 'GET /books/{id}'],
    [{ method: 'BREW' }, '', 'HTTP'],
    [
      { fields: [makeField('content-type', 'application/grpc')], path: '/shop.Books/Find' },
      '',
      'shop.Books/Find',
    ],
    [{ fields: [makeField('content-type', 'application/grpc')], path: '/a/b/c?d' }, '', 'GET'],
  ];
  for (const [head, route, name] of names)
    it(`calls a request ${name}`, () => {
      expect(spanName(headOf(head), route)).to.equal(name);
    });

  describe('of a try', () => {
    const request: OutgoingRequest = {
      method: 'GET',
      path: '/',
      authority: 'x',
      version: 'HTTP/1.1',
      fields: [],
      framing: NO_BODY,
    };
    const heard: UpstreamHandler = {
      onInterimResponse: () => undefined,
      onResponse: () => undefined,
      onResponseBody: () => undefined,
      onResponseEnd: () => undefined,
      onRequestSent: () => undefined,
      onFailure: () => undefined,
    };
    const target = { label: 'web:80', caught: (error: unknown) => error as ProxyFailure };
    const tryOnce = async (
      does: (handler: UpstreamHandler) => void,
      then: 'late' | 'left' | 'nothing' = 'nothing',
    ) => {
      const tracer = tracerWith();
      const trace = begin(tracer, headOf({}, `00-${TRACE}-${SPAN}-01`));
      if (trace === undefined) throw new Error('it is not recorded');
      const upstream = await openTraced(
        trace,
        { picked: { endpoint: '[fd00::1]:80' }, target },
        { request, handler: heard },
        async (_, handler) => {
          does(handler);
          return {
            endpoint: '[fd00::1]:80',
            write: () => 0,
            end: () => undefined,
            consumed: () => undefined,
            abandon: () => undefined,
          };
        },
      ).catch(() => undefined);
      if (then !== 'nothing') upstream?.abandon(then === 'late');
      return decoded()[0];
    };

    it('ends with its answer, once', async () => {
      const span = await tryOnce((handler) => {
        handler.onResponse({ status: 404, fields: [], framing: NO_BODY });
        handler.onResponseEnd(undefined);
        handler.onFailure(new ProxyFailure('connection failed', 'later'), false);
      }, 'left');
      expect(spans).to.have.length(1);
      expect(span).to.include({ kind: 3, status: 2 });
      expect(span?.attributes).to.include({ 'http.response.status_code': 404, 'error.type': '404' });
      expect(span?.attributes).to.include({ 'network.peer.address': 'fd00::1', 'network.peer.port': 80 });
    });

    it('ends with the failure to connect', async () => {
      const span = await tryOnce(() => {
        throw new ProxyFailure('connect timeout', 'nobody is there');
      });
      expect(span?.attributes).to.include({ 'error.type': 'connect timeout' });
      expect(span).to.include({ status: 2, message: 'nobody is there' });
    });

    it('ends where it is given up', async () => {
      expect((await tryOnce(() => undefined, 'late'))?.attributes).to.include({
        'error.type': 'response timeout',
      });
      const left = await tryOnce(() => undefined, 'left');
      expect(left).to.include({ status: 0 });
      expect(left?.attributes).to.include({ 'error.type': 'cancelled' });
    });
  });
});

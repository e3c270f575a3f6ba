import { expect } from 'chai';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { countersExposition, publishCounters } from '../../../../src/proxy/metrics/counters-exposition.ts';
import { Registry } from '../../../../src/telemetry/registry.ts';
import { begun } from '../../../support/begun-flow.ts';

const WEB = 'web.demo.svc.cluster.local:8080';
const OF_WEB =
  'direction="outbound",authority="web.demo.svc.cluster.local:8080",dst_service="web",dst_namespace="demo"';
const LISTEN = { host: '0.0.0.0', port: 4143 };
const SERVER =
  'target_addr="0.0.0.0:4143",target_ip="0.0.0.0",target_port="4143",srv_group="policy.linkerd.io",srv_kind="server",srv_name="linkerd-gateway",srv_port="4143"';

describe('metrics of the data path', () => {
  const lines = (counters: ProxyCounters) =>
    countersExposition(counters.view(), 'inbound', { listen: LISTEN }).text.split('\n');

  it("count a gateway's requests where Linkerd's boards look for them", () => {
    const counters = new ProxyCounters();
    const target = begun(counters, WEB);
    target.response(200, 3, 14);
    target.response(404, 3);
    target.response(503, 3);
    const text = lines(counters);
    expect(text).to.include(`request_total{${OF_WEB}} 1`);
    expect(text).to.include(
      `response_total{${OF_WEB},status_code="200",classification="failure",grpc_status="14"} 1`,
    );
    expect(text).to.include(`response_total{${OF_WEB},status_code="404",classification="success"} 1`);
    expect(text).to.include(`response_total{${OF_WEB},status_code="503",classification="failure"} 1`);
  });

  it('give latency as a histogram that Prometheus can read', () => {
    const counters = new ProxyCounters();
    const target = begun(counters, WEB);
    for (const ms of [0.5, 4, 4, 60_000]) target.response(200, ms);
    const text = lines(counters);
    expect(text).to.include('# TYPE response_latency_ms histogram');
    const of = `${OF_WEB},status_code="200"`;
    expect(text).to.include(`response_latency_ms_bucket{${of},le="1"} 1`);
    expect(text).to.include(`response_latency_ms_bucket{${of},le="4"} 3`);
    expect(text).to.include(`response_latency_ms_bucket{${of},le="50000"} 3`);
    expect(text).to.include(`response_latency_ms_bucket{${of},le="+Inf"} 4`);
    expect(text).to.include(`response_latency_ms_sum{${of}} 60008.5`);
    expect(text).to.include(`response_latency_ms_count{${of}} 4`);
  });

  // Linkerd's multicluster board selects `dst_target_cluster` and stayed empty.
  it("of an egress' mirrors are where Linkerd's boards look for them", () => {
    const counters = new ProxyCounters();
    const label = 'shop/web-west:80';
    const target = begun(counters, label);
    target.response(200, 3);
    const places = new Map([[label, { cluster: 'west', name: 'web.shop.svc.cluster.local' }]]);
    begun(counters, 'shop/web-federated:80');
    const text = countersExposition(counters.view(), 'outbound', { placeOf: (one) => places.get(one) }).text;
    const of =
      'direction="outbound",authority="shop/web-west:80",dst_service="web-west",dst_namespace="shop",dst_target_cluster="west",dst_target_service="web",dst_target_service_namespace="shop",tls="true"';
    expect(text).to.contain(`request_total{${of}} 1`);
    expect(text).to.contain(`response_total{${of},status_code="200",classification="success"} 1`);
    expect(text).to.contain(`response_latency_ms_count{${of},status_code="200"} 1`);
    // It leads to several clusters.
    expect(text).to.contain(
      'request_total{direction="outbound",authority="shop/web-federated:80",dst_service="web-federated",dst_namespace="shop"} 1',
    );
  });

  it('tell latency in protobuf with bounds, natively or both, and the same text in each case', () => {
    const counters = new ProxyCounters();
    const target = begun(counters, WEB);
    target.answered(3);
    target.response(200, 3);
    const found = ([undefined, 'native', 'classic'] as const).map((latency) => {
      const all = () => countersExposition(counters.view(), 'inbound', { latency });
      const names = Buffer.concat([...all().pieces().protobuf()]).toString('latin1');
      expect(all().text).to.match(/^response_latency_ms_bucket/m);
      const has = (name: string) => new RegExp(`\\n.${name}`).test(names);
      return [has('response_latency_ms'), has('linkspan_response_latency_ms')];
    });
    expect(found).to.deep.equal([
      [true, true],
      [false, true],
      [true, false],
    ]);
  });

  it('say what is under way', () => {
    const counters = new ProxyCounters();
    const target = begun(counters, WEB);
    begun(counters, WEB);
    target.end();
    expect(lines(counters)).to.include(`linkspan_requests_in_flight{${OF_WEB}} 1`);
  });

  it("count connections of clients at Linkerd's server, and of endpoints at their service", () => {
    const counters = new ProxyCounters();
    counters.client.begin({ bytesRead: 10, bytesWritten: 20 });
    counters.endpointOf(WEB).begin({ bytesRead: 1, bytesWritten: 2 });
    const text = lines(counters);
    expect(text).to.include(`tcp_open_total{direction="inbound",peer="src",${SERVER},tls="true"} 1`);
    expect(text).to.include(`tcp_read_bytes_total{direction="inbound",peer="src",${SERVER},tls="true"} 10`);
    const dst = OF_WEB.replace('direction="outbound"', 'direction="outbound",peer="dst"');
    expect(text).to.include(`tcp_write_bytes_total{${dst}} 2`);
  });

  it('tell failures of clients from failures of endpoints', () => {
    const counters = new ProxyCounters();
    counters.failure('unknown service', WEB);
    counters.failure('unauthorized', WEB, 'tcp');
    counters.failure('failfast', WEB);
    counters.failure('connect timeout', undefined, 'tcp');
    counters.refuse('bad header');
    const text = lines(counters);
    expect(text).to.include('inbound_http_errors_total{error="unknown service"} 1');
    expect(text).to.include('inbound_tcp_errors_total{error="unauthorized"} 1');
    expect(text).to.include('inbound_tcp_errors_total{error="bad header"} 1');
    expect(text).to.include('outbound_http_errors_total{error="failfast"} 1');
    expect(text).to.include('outbound_tcp_errors_total{error="connect timeout"} 1');
    expect(text.filter((line) => line.startsWith('linkspan_failures_total'))).to.deep.equal([
      `linkspan_failures_total{${OF_WEB},error="unknown service"} 1`,
      `linkspan_failures_total{${OF_WEB},error="unauthorized"} 1`,
      `linkspan_failures_total{${OF_WEB},error="failfast"} 1`,
    ]);
    // Nothing has come for it, as far as requests go.
    expect(text.filter((line) => line.startsWith('request_total'))).to.deep.equal([]);
  });

  it('show who was let in', () => {
    const counters = new ProxyCounters();
    counters.authorization('http', true, 'web.east').count++;
    counters.authorization('tcp', false, 'spiffe://east/a|b', 'policy.linkerd.io/authorizationpolicy/web')
      .count++;
    const text = lines(counters);
    expect(text).to.include(
      `inbound_http_authz_allow_total{${SERVER},route_group="",route_kind="default",route_name="default",authz_group="",authz_kind="default",authz_name="all-authenticated",tls="true",client_id="web.east"} 1`,
    );
    expect(text).to.include(
      `inbound_tcp_authz_deny_total{${SERVER},authz_group="policy.linkerd.io",authz_kind="authorizationpolicy",authz_name="web",tls="true",client_id="spiffe://east/a|b"} 1`,
    );
  });

  it('show transport headers', () => {
    const counters = new ProxyCounters();
    counters.header('http2', 'web.demo.svc.cluster.local', 8080, 'web.east');
    expect(lines(counters)).to.include(
      'inbound_tcp_transport_header_connections_total{session_protocol="http/2",target_port="8080",target_name="web.demo.svc.cluster.local",client_id="web.east"} 1',
    );
  });

  it('of an egress are all outbound', async () => {
    const counters = new ProxyCounters();
    const registry = new Registry();
    publishCounters(registry, counters, 'outbound');
    counters.client.begin({ bytesRead: 0, bytesWritten: 0 });
    counters.failure('bad request', undefined);
    const text = await registry.metrics();
    expect(text).to.contain('tcp_open_total{direction="outbound",peer="src"} 1');
    expect(text).to.contain('outbound_http_errors_total{error="bad request"} 1');
    expect(text).not.to.contain('inbound');
  });
});

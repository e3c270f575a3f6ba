import { Counter, Gauge, type Registry } from '../telemetry/metrics.ts';
import { LATENCY_BUCKETS, type Accounts } from './accounts.ts';

type Peer = 'client' | 'endpoint';

/** Publishes what the data path has counted under the names that Linkerd's proxy uses; `direction` is `inbound` for a gateway, `outbound` for an egress. */
export function publishAccounts(
  registry: Registry,
  accounts: Accounts,
  direction: 'inbound' | 'outbound',
): void {
  const counter: AddCounter = (name, help, labels, collect) => {
    const metric: Counter = new Counter({
      name,
      help,
      labelNames: labels,
      registers: [registry],
      collect() {
        metric.reset();
        collect(metric);
      },
    });
  };
  const perPeer = (set: (peer: string, account: Accounts[Peer]) => void) => {
    set('src', accounts.client);
    set('dst', accounts.endpoint);
  };
  counter('tcp_open_total', 'Connections opened.', ['direction', 'peer'], (metric) =>
    perPeer((peer, account) => metric.inc({ direction, peer }, account.opened)),
  );
  counter('tcp_read_bytes_total', 'Bytes read.', ['direction', 'peer'], (metric) =>
    perPeer((peer, account) => metric.inc({ direction, peer }, account.readBytes)),
  );
  counter('tcp_write_bytes_total', 'Bytes written.', ['direction', 'peer'], (metric) =>
    perPeer((peer, account) => metric.inc({ direction, peer }, account.writtenBytes)),
  );
  const open: Gauge = new Gauge({
    name: 'tcp_open_connections',
    help: 'Connections that are open.',
    labelNames: ['direction', 'peer'],
    registers: [registry],
    collect: () => perPeer((peer, account) => open.set({ direction, peer }, account.open)),
  });
  publishRequests(counter, accounts, direction);
  publishLatency(registry, accounts, direction);
}

type AddCounter = (name: string, help: string, labels: string[], collect: (metric: Counter) => void) => void;

function publishRequests(counter: AddCounter, accounts: Accounts, direction: 'inbound' | 'outbound'): void {
  counter('request_total', 'Requests, and opaque connections.', ['direction', 'authority'], (metric) => {
    for (const [authority, account] of accounts.targets)
      metric.inc({ direction, authority }, account.requests);
  });
  counter(
    'response_total',
    'Responses by status.',
    ['direction', 'authority', 'status_code', 'classification'],
    (metric) => {
      for (const [authority, account] of accounts.targets) {
        for (const [status, count] of account.responses) {
          const classification = status >= 500 ? 'failure' : 'success';
          metric.inc({ direction, authority, status_code: String(status), classification }, count);
        }
      }
    },
  );
  counter(
    `${direction}_http_errors_total`,
    'Requests and connections that the proxy answered or ended itself.',
    ['error'],
    (metric) => {
      for (const [error, count] of accounts.failures) metric.inc({ error }, count);
    },
  );
  counter(
    `${direction}_tcp_errors_total`,
    'Connections refused before a service was known.',
    ['error'],
    (metric) => {
      for (const [error, count] of accounts.refused) metric.inc({ error }, count);
    },
  );
  counter(
    'inbound_tcp_transport_header_connections_total',
    'Connections by what their transport header said.',
    ['session_protocol', 'target_name', 'target_port'],
    (metric) => {
      for (const [key, count] of accounts.headers) {
        const [session_protocol = '', target_name = '', target_port = ''] = key.split('|');
        metric.inc({ session_protocol, target_name, target_port }, count);
      }
    },
  );
}

/** prom-client's histogram cannot take counts that were made elsewhere, so its series are written one by one. */
function publishLatency(registry: Registry, accounts: Accounts, direction: string): void {
  const series = (suffix: string, labels: string[], collect: (metric: Counter) => void) => {
    const metric: Counter = new Counter({
      name: `response_latency_ms_${suffix}`,
      help: 'Time to the first byte of a response, milliseconds.',
      labelNames: labels,
      registers: [registry],
      collect() {
        metric.reset();
        collect(metric);
      },
    });
  };
  series('bucket', ['direction', 'authority', 'le'], (metric) => {
    for (const [authority, { buckets }] of accounts.targets) {
      let sum = 0;
      [...LATENCY_BUCKETS, Number.POSITIVE_INFINITY].forEach((bound, at) => {
        sum += buckets[at] ?? 0;
        metric.inc({ direction, authority, le: Number.isFinite(bound) ? String(bound) : '+Inf' }, sum);
      });
    }
  });
  series('count', ['direction', 'authority'], (metric) => {
    for (const [authority, { buckets }] of accounts.targets) {
      metric.inc(
        { direction, authority },
        buckets.reduce((sum, count) => sum + (count ?? 0), 0),
      );
    }
  });
  series('sum', ['direction', 'authority'], (metric) => {
    for (const [authority, { latencySum }] of accounts.targets)
      metric.inc({ direction, authority }, latencySum);
  });
}

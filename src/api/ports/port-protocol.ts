import type { V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../annotations.ts';
import { OPAQUE_PORTS } from '../names.ts';
import { isListed } from './port-list.ts';

/**
 * The facts about one TCP port, from a Service, a mirror, a pod or an entry of a targets file.
 */
export interface PortFacts {
  readonly port: number;
  /** Names that lists of ports may call it by; default none. */
  readonly names?: readonly string[];
  /** `config.linkerd.io/opaque-ports`; undefined where there is no such annotation. */
  readonly opaquePorts?: string | undefined;
  readonly appProtocol?: string | undefined;
  /** The protocol that a targets file gives. */
  readonly said?: PortProtocol | undefined;
}

/**
 * Ports that Linkerd takes for opaque by default (`proxy.opaquePorts` of its chart): SMTP,
 * submission, MySQL, its Galera port, PostgreSQL, Redis, Elasticsearch's transport, memcached. Their servers
 * speak first, or what they speak is no HTTP.
 */
const DEFAULT_OPAQUE_PORTS = '25,587,3306,4444,5432,6379,9300,11211';

/**
 * `appProtocol` values whose bytes are known: Kubernetes' own (KEP-3726), IANA's service names, Linkerd's,
 * and those that other meshes made usual. TLS is opaque: nobody on the way has a key to look inside.
 */
const APP_PROTOCOLS: ReadonlyMap<string, PortProtocol> = new Map([
  ...all('http1', 'http', 'kubernetes.io/ws', 'ws'),
  ...all('http2', 'kubernetes.io/h2c', 'h2c', 'http2', 'grpc'),
  ...all('opaque', 'tcp', 'tls', 'ssl', 'https', 'wss', 'kubernetes.io/wss'),
  ...all('opaque', 'linkerd.io/opaque', 'linkerd.io/tcp', 'linkerd.io/tls'),
  ...all('opaque', 'mysql', 'mariadb', 'postgresql', 'postgres', 'ms-sql-s', 'mssql', 'oracle'),
  ...all('opaque', 'mongodb', 'mongo', 'redis', 'rediss', 'memcache', 'memcached', 'cassandra', 'cql'),
  ...all('opaque', 'amqp', 'amqps', 'kafka', 'nats', 'mqtt', 'mqtts', 'secure-mqtt', 'stomp', 'zookeeper'),
  ...all('opaque', 'smtp', 'smtps', 'submission', 'submissions', 'imap', 'imaps', 'pop3', 'pop3s'),
  ...all('opaque', 'ldap', 'ldaps', 'ssh', 'sftp', 'ftp', 'ftps', 'dns', 'domain', 'thrift'),
]);

/**
 * What a TCP port speaks; undefined where no known fact says so, and each connection has to be inspected.
 * Gateway and egress decide it here alone. The first of these facts holds: a targets file; the annotation's
 * list, as in Linkerd; `appProtocol`; and where neither the annotation nor a known `appProtocol` is there,
 * Linkerd's default opaque ports. Pure.
 */
export function portProtocol({
  port,
  names = [],
  opaquePorts,
  appProtocol,
  said,
}: PortFacts): PortProtocol | undefined {
  if (said !== undefined) return said;
  if (opaquePorts !== undefined && isListed(opaquePorts, port, names)) return 'opaque';
  const known = APP_PROTOCOLS.get((appProtocol ?? '').toLowerCase());
  if (known !== undefined) return known;
  // An annotation replaces the default list, also with nothing.
  return opaquePorts === undefined && isListed(DEFAULT_OPAQUE_PORTS, port, []) ? 'opaque' : undefined;
}

/**
 * The same of a Service's port, by its number; a number that the Service does not have is judged by the
 * annotation and by itself. Mirrors carry both, copied from over there.
 */
export function servicePortProtocol({ metadata, spec }: V1Service, port: number): PortProtocol | undefined {
  const found = spec?.ports?.find((one) => one.port === port && (one.protocol ?? 'TCP') === 'TCP');
  return portProtocol({
    port,
    names: found?.name === undefined ? [] : [found.name],
    opaquePorts: readAnnotation(metadata?.annotations, OPAQUE_PORTS),
    appProtocol: found?.appProtocol,
  });
}

function all(protocol: PortProtocol, ...appProtocols: string[]): [string, PortProtocol][] {
  return appProtocols.map((name) => [name, protocol]);
}

/** What a port speaks, as far as it matters to a proxy. `opaque`: bytes that nobody looks into. */
export type PortProtocol = 'http1' | 'http2' | 'opaque';

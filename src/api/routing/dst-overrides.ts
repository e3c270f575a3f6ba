import { z } from 'zod';
import { namespaceName, NotValid, portNumber, readValue, serviceName, weight } from './read-value.ts';

/** One of a ServiceProfile's `dstOverrides`: a Service, and its part of the requests. */
export interface DstOverride {
  readonly namespace: string;
  readonly service: string;
  /** Absent: the port that was asked for. */
  readonly port?: number;
  readonly weight: number;
}

/** Most overrides of one profile. */
const MAX_OVERRIDES = 64;
const MAX_AUTHORITY = 253 + 6;

const overrides = z.array(z.object({ authority: z.string().max(MAX_AUTHORITY), weight })).max(MAX_OVERRIDES);

/**
 * Reads `spec.dstOverrides` of a ServiceProfile; empty where there are none.
 * @param clusterDomain such as `cluster.local`: an authority is a Service's full name, with or without port
 * @throws NotValid
 */
export function readDstOverrides(value: unknown, clusterDomain: string): readonly DstOverride[] {
  if (value === undefined || value === null) return [];
  return readValue(overrides, value).map(({ authority, ...rest }) => ({
    ...readAuthority(authority, clusterDomain),
    ...rest,
  }));
}

function readAuthority(text: string, clusterDomain: string): Omit<DstOverride, 'weight'> {
  const [, host = '', port] = /^([^:]{1,253})(?::(\d{1,5}))?$/.exec(text) ?? [];
  const name = host.toLowerCase().replace(/\.$/, '');
  const end = `.svc.${clusterDomain}`;
  const [service, namespace, ...more] = name.endsWith(end) ? name.slice(0, -end.length).split('.') : [];
  if (service === undefined || namespace === undefined || more.length > 0)
    throw new NotValid(`the authority is not <service>.<namespace>${end}`);
  return {
    service: readValue(serviceName, service),
    namespace: readValue(namespaceName, namespace),
    ...(port === undefined ? {} : { port: readValue(portNumber, Number(port)) }),
  };
}

import { z } from 'zod';
import { readValue, serviceName, weight } from './read-value.ts';

/** One backend of a split, and its part of the requests in proportion to the weights of the others. */
export interface SplitBackend {
  /** A Service of the split's namespace. */
  readonly service: string;
  /** Not negative; 0: it gets nothing. */
  readonly weight: number;
}

/** What a TrafficSplit says. */
export interface ReadSplit {
  /** The Service whose requests are split, of the split's namespace. */
  readonly service: string;
  readonly backends: readonly SplitBackend[];
}

/** Most backends of one split. */
const MAX_BACKENDS = 64;

const spec = z.object({
  service: serviceName,
  backends: z.array(z.object({ service: serviceName, weight: weight.default(0) })).max(MAX_BACKENDS),
});

/**
 * Reads the `spec` of a TrafficSplit, of any version. Matches of v1alpha3 and later (`spec.matches`) are not
 * read, as linkerd-smi does not read them.
 * @throws NotValid
 */
export function readTrafficSplit(value: unknown): ReadSplit {
  const { service, backends } = readValue(spec, value);
  return { service, backends };
}

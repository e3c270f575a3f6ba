import { type Field, makeField } from './field.ts';
import { connectionOptions } from './http1/head.ts';
import type { HeadRules } from './session.ts';

/** Fields of one hop (RFC 9110 section 7.6.1, RFC 9113 section 8.2.2). */
const HOP_BY_HOP = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'upgrade',
  'transfer-encoding',
  'proxy-authenticate',
  'proxy-authorization',
  'http2-settings',
]);
/** Fields that a Connection option must not be able to remove. */
const UNREMOVABLE = new Set([
  'host',
  'content-length',
  'content-type',
  'forwarded',
  'authorization',
  'cookie',
]);

/** The fields that an endpoint gets of a request: those of one hop and those that only proxies may set (`l5d-…`) are taken away, ours are added. */
export function requestFields(fields: readonly Field[], rules: HeadRules): Field[] {
  const kept = endToEnd(fields).filter(({ lower }) => lower !== 'host' && !lower.startsWith('l5d-'));
  const trailers = fields.find(({ lower, value }) => lower === 'te' && /(^|[ ,])trailers\b/i.test(value));
  // gRPC servers ask for it, and it is true: we pass trailers on.
  if (trailers !== undefined) kept.push(TE_TRAILERS);
  for (const [name, value] of rules.append) kept.push(makeField(name, value));
  for (const [name, value] of rules.add) kept.push(makeField(name, value));
  return kept;
}

const TE_TRAILERS = makeField('te', 'trailers');

/** The fields of a message that are for whoever is at its end. */
export function endToEnd(fields: readonly Field[]): Field[] {
  const options = connectionOptions(fields);
  return fields.filter(
    ({ lower }) => !HOP_BY_HOP.has(lower) && !(options.has(lower) && !UNREMOVABLE.has(lower)),
  );
}

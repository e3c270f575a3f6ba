import {
  About,
  connectionOptions,
  type Field,
  makeField,
  NOT_PLAIN,
  stays,
  takesTrailers,
} from './fields.ts';

const TE_TRAILERS = makeField('te', 'trailers');
const NOT_FORWARDED = About.HOP | About.CODING;

/**
 * The fields that an endpoint gets of a request: without those of one hop, those that only proxies may set
 * (`l5d-…`) and Host (`OutgoingRequest.authority` has it), with `rules.added`.
 */
export function requestFields(fields: readonly Field[], rules: HeadRules): Field[] {
  const options = connectionOptions(fields);
  const kept: Field[] = [];
  let trailers = false;
  for (const field of fields) {
    const { bits } = field.about;
    if ((bits & NOT_PLAIN) === 0) {
      if (stays(field, options)) kept.push(field);
    } else {
      // TE is for one hop; ours takes its place below: gRPC servers ask for it, and we do pass trailers on.
      trailers ||= takesTrailers(field);
    }
  }
  if (trailers) kept.push(TE_TRAILERS);
  for (const field of rules.added) kept.push(field);
  return kept;
}

/**
 * The end-to-end fields of a response (RFC 9110 section 7.6.1): without those of one hop and
 * Transfer-Encoding.
 */
export function endToEnd(fields: readonly Field[]): Field[] {
  const options = connectionOptions(fields);
  const kept: Field[] = [];
  for (const field of fields) {
    if (field.about.bits & NOT_FORWARDED) continue;
    if (stays(field, options)) kept.push(field);
  }
  return kept;
}

/** How the heads of requests are changed on their way to the target. */
export interface HeadRules {
  /** Replaces the Host field; undefined leaves the client's. */
  readonly host: string | undefined;
  /**
   * Fields to add behind those of the client: `forwarded`, which continues what the client sent, and those
   * that only proxies may set.
   */
  readonly added: readonly Field[];
  /**
   * The client's identity, for a gateway that believes us (`:client` of stream mode); absent where it is not
   * named. Read for each request: a client may become known while its connection is open.
   */
  readonly client?: Field | undefined;
}

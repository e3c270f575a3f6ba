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
 * The fields that an endpoint gets of a request: those of one hop and those that only proxies may set
 * (`l5d-…`) are taken away, ours are added.
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
      // gRPC servers ask for it, and it is true: we pass trailers on.
      trailers ||= takesTrailers(field);
    }
  }
  if (trailers) kept.push(TE_TRAILERS);
  for (const field of rules.added) kept.push(field);
  return kept;
}

/** The fields of a message that are for whoever is at its end. */
export function endToEnd(fields: readonly Field[]): Field[] {
  const options = connectionOptions(fields);
  const kept: Field[] = [];
  for (const field of fields) {
    if (field.about.bits & NOT_FORWARDED) continue;
    if (stays(field, options)) kept.push(field);
  }
  return kept;
}

/** How request heads are changed on their way to the target. */
export interface HeadRules {
  /** Replaces the Host field; undefined leaves the client's. */
  readonly host: string | undefined;
  /**
   * Fields to add behind those of the client: some continue what it sent (`forwarded`), the others nobody but
   * proxies may send.
   */
  readonly added: readonly Field[];
  /**
   * Who asks, for a next hop that believes us (`:client` of stream mode); absent where nobody is named. Read
   * for each request: a client may become known while its connection is open.
   */
  readonly client?: Field | undefined;
}

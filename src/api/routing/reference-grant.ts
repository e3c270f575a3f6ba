import { z } from 'zod';
import { readValue } from './read-value.ts';

/** What a ReferenceGrant lets in: objects of these kinds may refer to those, in the grant's own namespace. */
export interface ReadGrant {
  readonly from: readonly { readonly group: string; readonly kind: string; readonly namespace: string }[];
  /** Without a name: all of the kind. */
  readonly to: readonly { readonly group: string; readonly kind: string; readonly name?: string }[];
}

/** As many as the kind allows. */
const MAX_ENTRIES = 16;
const NAME = z.string().max(253);

const spec = z.object({
  from: z.array(z.object({ group: NAME, kind: NAME, namespace: NAME })).max(MAX_ENTRIES),
  to: z.array(z.object({ group: NAME, kind: NAME, name: NAME.nullish() })).max(MAX_ENTRIES),
});

/** Reads the `spec` of a ReferenceGrant. @throws NotValid */
export function readReferenceGrant(value: unknown): ReadGrant {
  const { from, to } = readValue(spec, value);
  return {
    from,
    to: to.map(({ group, kind, name }) => ({ group, kind, ...(name ? { name } : {}) })),
  };
}

/** How a message's body ends (RFC 9112 section 6.3). */
export type Framing =
  | { readonly kind: 'none' | 'chunked' | 'until close' }
  | { readonly kind: 'length'; readonly length: number };

export const NO_BODY: Framing = { kind: 'none' };

/** The body's length is not known. */
export const CHUNKED: Framing = { kind: 'chunked' };

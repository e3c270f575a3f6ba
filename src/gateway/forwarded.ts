/** What Linkerd's proxies leave unquoted: RFC 9110 tokens, and the `:` and `/` of addresses and SPIFFE IDs. */
const PLAIN = /^[\w!#$%&'*+.^`|~:/-]+$/;

/** The `Forwarded` element (RFC 7239) of a request that has passed the gateway, as Linkerd's gateway writes it. An identity whose characters could end its value is quoted, so that nobody's name says more than who it is. */
export function forwardedElement(own: string, client: string, host: string): string {
  return `by=${value(own)};for=${value(client)};host=${value(host)};proto=https`;
}

function value(text: string): string {
  return PLAIN.test(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** What a port speaks, as far as it matters to a proxy. `opaque`: bytes that nobody looks into. */
export type PortProtocol = 'http1' | 'http2' | 'opaque';

/**
 * Header fields between proxies, Linkerd's and ours (wire protocol 1.6, 2 and 3): nobody else may set them,
 * so everything that begins with the prefix is taken away from clients and applications.
 */
export const PROXY_FIELD_PREFIX = 'l5d-';

/** What was spoken before a proxy carried it over HTTP/2, as `HTTP/1.1`. */
export const ORIG_PROTO = 'l5d-orig-proto';
/** Why a proxy answered instead of an application. */
export const PROXY_ERROR = 'l5d-proxy-error';
/** `close`: the client's proxy shall close its connection to its application, too. */
export const PROXY_CONNECTION = 'l5d-proxy-connection';
/** The client's identity, for the application. */
export const CLIENT_ID = 'l5d-client-id';
/** The Service and port that was asked for, for the application. */
export const DST_CANONICAL = 'l5d-dst-canonical';

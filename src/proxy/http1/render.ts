import type { HeadRules } from '../session.ts';
import { connectionOptions, type Field, type RequestHead, type ResponseHead } from './head.ts';

/** Fields of one hop (RFC 9110 section 7.6.1); Transfer-Encoding stays, because the body is passed on in its framing. */
const HOP_BY_HOP = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'upgrade',
  'http2-settings',
  'proxy-authenticate',
  'proxy-authorization',
]);
const SAYS_LENGTH = new Set(['content-length', 'transfer-encoding']);
/** Fields that a Connection option must not be able to remove. */
const UNREMOVABLE = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'forwarded',
  'authorization',
  'cookie',
]);

/** The head that the target gets. Fields that only proxies may set (`l5d-…`) are taken away from clients. */
export function renderRequest(head: RequestHead, rules: HeadRules): Buffer {
  const { path, authority } = splitTarget(head.target);
  const options = connectionOptions(head.fields);
  const host = rules.host ?? authority;
  const lines = [`${head.method} ${path} HTTP/1.${head.minor}`];
  if (host !== undefined) lines.push(`host: ${host}`);
  for (const field of head.fields) {
    if (field.lower === 'host' && host !== undefined) continue;
    if (field.lower.startsWith('l5d-') || isHopByHop(field, options)) continue;
    lines.push(`${field.name}: ${field.value}`);
  }
  for (const [name, value] of [...rules.append, ...rules.add]) lines.push(`${name}: ${value}`);
  if (head.upgrade !== undefined) lines.push('connection: upgrade', `upgrade: ${head.upgrade}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** The head that the client gets. @param close whether the connection ends after this response */
export function renderResponse(head: ResponseHead, minor: 0 | 1, close: boolean): Buffer {
  const options = connectionOptions(head.fields);
  const lines = [`HTTP/1.1 ${head.status} ${head.reason}`];
  const bodiless = head.status < 200 || head.status === 204;
  for (const field of head.fields) {
    if (head.status === 101 && field.lower === 'upgrade')
      lines.push('connection: upgrade', `upgrade: ${field.value}`);
    if (isHopByHop(field, options)) continue;
    // These never have a body, whatever the target says; who reads on must not wait for one, nor take what follows for it (RFC 9110 section 8.6).
    if (bodiless && SAYS_LENGTH.has(field.lower)) continue;
    lines.push(`${field.name}: ${field.value}`);
  }
  if (close) lines.push('connection: close');
  else if (minor === 0) lines.push('connection: keep-alive');
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** Whether a request target is one that an origin server can be asked for; CONNECT and authority-form are not. */
export function isServableTarget(head: RequestHead): boolean {
  if (head.method === 'CONNECT') return false;
  return (
    head.target.startsWith('/') ||
    (head.target === '*' && head.method === 'OPTIONS') ||
    /^https?:\/\/[^/?#]+/i.test(head.target)
  );
}

/** Absolute-form is turned into origin-form and its authority wins over Host (RFC 9112 section 3.2.2). */
export function splitTarget(target: string): { path: string; authority: string | undefined } {
  const match = /^https?:\/\/(?:[^@/?#]*@)?([^/?#]+)(.*)$/i.exec(target);
  if (match === null) return { path: target, authority: undefined };
  const rest = (match[2] ?? '').replace(/#.*$/, '');
  return { path: rest.startsWith('/') ? rest : `/${rest}`, authority: match[1] };
}

function isHopByHop({ lower }: Field, options: ReadonlySet<string>): boolean {
  return HOP_BY_HOP.has(lower) || (options.has(lower) && !UNREMOVABLE.has(lower));
}

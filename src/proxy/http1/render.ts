import { textBefore } from '../../base/text.ts';
import { About, type Field, stays, takesTrailers } from '../http/fields.ts';
import type { HeadRules } from '../http/forwarding.ts';
import type { FieldSection, RequestHead, ResponseHead } from './head.ts';

const NOT_FOR_TARGETS = About.HOP | About.PROXY | About.HOST;
const SAYS_LENGTH = About.LENGTH | About.CODING;
/** It is for one hop, and true of ours too: trailers are passed on (RFC 9110 section 10.1.4). */
export const TE_TRAILERS = 'te: trailers\r\nconnection: te\r\n';

/** The head that the target gets. Fields that only proxies may set (`l5d-…`) are taken away from clients. */
export function renderRequest(head: RequestHead, rules: HeadRules): string {
  const { method, target, minor, section } = head;
  // Mostly it is a path, and the fields are those of the request before.
  if (target.startsWith('/'))
    return `${method} ${target} HTTP/1.${minor}\r\n${sectionFor(head, section, rules)}`;
  const { path, authority } = splitTarget(target, method);
  const fields = requestLines(head, rules, rules.host ?? authority);
  return `${method} ${path} HTTP/1.${minor}\r\n${fields}`;
}

function sectionFor(head: RequestHead, section: FieldSection, rules: HeadRules): string {
  const { rendered } = section;
  if (rendered?.by === rules && head.minor === 1) return rendered.text;
  const text = requestLines(head, rules, rules.host);
  if (head.minor === 1) section.rendered = { by: rules, text };
  return text;
}

function requestLines(head: RequestHead, rules: HeadRules, host: string | undefined): string {
  const { options } = head.section;
  let lines = host === undefined ? '' : `host: ${host}\r\n`;
  let trailers = false;
  for (const field of head.fields) {
    const { bits } = field.about;
    if (bits & NOT_FOR_TARGETS && !(bits & About.HOST && host === undefined)) {
      trailers ||= takesTrailers(field);
      continue;
    }
    if (stays(field, options)) lines += line(field);
  }
  for (const field of rules.added) lines += line(field);
  if (trailers && head.minor === 1) lines += TE_TRAILERS;
  if (head.upgrade !== undefined) lines += `connection: upgrade\r\nupgrade: ${head.upgrade}\r\n`;
  return `${lines}\r\n`;
}

/** The head that the client gets. @param close whether the connection ends after this response */
export function renderResponse(head: ResponseHead, minor: 0 | 1, close: boolean): string {
  const { status, section } = head;
  let lines = section.rendered?.by === status ? section.rendered.text : undefined;
  if (lines === undefined) {
    lines = responseLines(head);
    section.rendered = { by: status, text: lines };
  }
  const last = close ? 'connection: close\r\n\r\n' : minor === 0 ? 'connection: keep-alive\r\n\r\n' : '\r\n';
  return `HTTP/1.1 ${status} ${head.reason}\r\n${lines}${last}`;
}

function responseLines({ status, fields, section }: ResponseHead): string {
  const bodiless = status < 200 || status === 204;
  let lines = '';
  for (const field of fields) {
    const { bits } = field.about;
    if (bits & About.UPGRADE && status === 101) lines += `connection: upgrade\r\nupgrade: ${field.value}\r\n`;
    if (bits & About.HOP || !stays(field, section.options)) continue;
    // These never have a body, whatever the target says; who reads on must not wait for one, nor take what
    // follows for it (RFC 9110 section 8.6).
    if (bodiless && bits & SAYS_LENGTH) continue;
    lines += line(field);
  }
  return lines;
}

function line({ name, value }: Field): string {
  return `${name}: ${value}\r\n`;
}

/**
 * Whether a request target is one that an origin server can be asked for; CONNECT and authority-form are not.
 */
export function isServableTarget(head: RequestHead): boolean {
  if (head.method === 'CONNECT') return false;
  return (
    head.target.startsWith('/') ||
    (head.target === '*' && head.method === 'OPTIONS') ||
    /^https?:\/\/[^/?#]+/i.test(head.target)
  );
}

const SCHEME = /^https?:\/\//i;
const PATH_OR_QUERY = /[/?]/;

/**
 * Absolute-form is turned into origin-form and its authority wins over Host (RFC 9112 section 3.2.2). OPTIONS
 * of a whole server is asterisk-form behind a proxy (section 3.2.4).
 */
export function splitTarget(target: string, method: string): { path: string; authority: string | undefined } {
  const scheme = SCHEME.exec(target)?.[0];
  if (scheme === undefined) return { path: target, authority: undefined };
  const whole = textBefore(target.slice(scheme.length), '#');
  const found = whole.search(PATH_OR_QUERY);
  const end = found < 0 ? whole.length : found;
  const said = whole.slice(0, end);
  // In front of the "@" is who the client is (userinfo), which is nobody's business.
  const authority = said.slice(said.indexOf('@') + 1) || said;
  if (authority === '') return { path: target, authority: undefined };
  const rest = whole.slice(end);
  if (rest === '' && method === 'OPTIONS') return { path: '*', authority };
  return { path: rest.startsWith('/') ? rest : `/${rest}`, authority };
}

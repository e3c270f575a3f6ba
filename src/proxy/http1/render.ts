import { textBefore } from '../../base/text.ts';
import { isAuthority } from '../http/authority.ts';
import { About, type Field, stays, takesTrailers } from '../http/fields.ts';
import type { HeadRules } from '../http/forwarding.ts';
import type { FieldSection, RequestHead, ResponseHead } from './head.ts';

const NOT_FOR_TARGETS = About.HOP | About.PROXY | About.HOST;
const SAYS_LENGTH = About.LENGTH | About.CODING;
/**
 * `TE: trailers` is for one hop, so that the client's is not passed on; ours takes its place, because we do
 * pass trailers on (RFC 9110 section 10.1.4).
 */
export const TE_TRAILERS = 'te: trailers\r\nconnection: te\r\n';

/** A head as it is sent: as it came, or as a route changes it (`changed-heads.ts`). */
export type Sent<Head extends { readonly section: FieldSection }> = Omit<Head, 'section'> & {
  readonly section: Pick<FieldSection, 'options' | 'rendered'>;
};

/**
 * The head that the target gets, blank line included: without the client's fields of one hop and those that
 * only proxies may set (`l5d-…`).
 */
export function renderRequest(head: Sent<RequestHead>, rules: HeadRules): string {
  const { method, target, minor, section } = head;
  // The usual case: a path, behind which the lines of the request before can often be used again.
  if (target.startsWith('/'))
    return `${method} ${target} HTTP/1.${minor}\r\n${sectionFor(head, section, rules)}`;
  const { path, authority } = splitTarget(target, method);
  const fields = requestLines(head, rules, rules.host ?? authority);
  return `${method} ${path} HTTP/1.${minor}\r\n${fields}`;
}

function sectionFor(
  head: Sent<RequestHead>,
  section: Sent<RequestHead>['section'],
  rules: HeadRules,
): string {
  const { rendered } = section;
  if (rendered?.by === rules && head.minor === 1) return rendered.text;
  const text = requestLines(head, rules, rules.host);
  if (head.minor === 1) section.rendered = { by: rules, text };
  return text;
}

function requestLines(head: Sent<RequestHead>, rules: HeadRules, host: string | undefined): string {
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

/**
 * The head that the client gets, blank line included.
 * @param minor of the client's HTTP version: to one of 1.0 a connection that stays open has to be said
 * @param close whether the connection ends after this response
 */
export function renderResponse(head: Sent<ResponseHead>, minor: 0 | 1, close: boolean): string {
  const { status, section } = head;
  let lines = section.rendered?.by === status ? section.rendered.text : undefined;
  if (lines === undefined) {
    lines = responseLines(head);
    section.rendered = { by: status, text: lines };
  }
  const last = close ? 'connection: close\r\n\r\n' : minor === 0 ? 'connection: keep-alive\r\n\r\n' : '\r\n';
  return `HTTP/1.1 ${status} ${head.reason}\r\n${lines}${last}`;
}

function responseLines({ status, fields, section }: Sent<ResponseHead>): string {
  const bodiless = status < 200 || status === 204;
  let lines = '';
  for (const field of fields) {
    const { bits } = field.about;
    if (bits & About.UPGRADE && status === 101) lines += `connection: upgrade\r\nupgrade: ${field.value}\r\n`;
    if (bits & About.HOP || !stays(field, section.options)) continue;
    // Responses of these statuses never have a body. A length would make the client wait for one, or take the
    // next response for it (RFC 9110 section 8.6).
    if (bodiless && bits & SAYS_LENGTH) continue;
    lines += line(field);
  }
  return lines;
}

function line({ name, value }: Field): string {
  return `${name}: ${value}\r\n`;
}

/**
 * Whether a request's target is one that an origin server can be asked for: not CONNECT, and not of
 * authority-form.
 */
export function isServableTarget(head: RequestHead): boolean {
  const { method, target } = head;
  if (method === 'CONNECT') return false;
  if (target.startsWith('/') || (target === '*' && method === 'OPTIONS')) return true;
  return isAuthority(splitTarget(target, method).authority ?? '');
}

const SCHEME = /^https?:\/\//i;
const PATH_OR_QUERY = /[/?]/;

/**
 * The path of a request target, and its authority where it has one. Absolute-form becomes origin-form, and
 * its authority wins over the Host field (RFC 9112 section 3.2.2); OPTIONS of a whole server becomes
 * asterisk-form (section 3.2.4).
 */
export function splitTarget(target: string, method: string): { path: string; authority: string | undefined } {
  const scheme = SCHEME.exec(target)?.[0];
  if (scheme === undefined) return { path: target, authority: undefined };
  const whole = textBefore(target.slice(scheme.length), '#');
  const found = whole.search(PATH_OR_QUERY);
  const end = found < 0 ? whole.length : found;
  const said = whole.slice(0, end);
  // Userinfo in front of the "@" names the client, and is no part of an authority.
  const authority = said.slice(said.indexOf('@') + 1) || said;
  if (authority === '') return { path: target, authority: undefined };
  const rest = whole.slice(end);
  if (rest === '' && method === 'OPTIONS') return { path: '*', authority };
  return { path: rest.startsWith('/') ? rest : `/${rest}`, authority };
}

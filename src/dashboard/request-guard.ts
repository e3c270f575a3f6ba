import { createHash, timingSafeEqual } from 'node:crypto';

/** What is looked at of a request, before anything is done for it. */
export interface RequestHead {
  readonly method: string;
  /** As it came, with its query. */
  readonly url: string;
  readonly host: string | undefined;
  /** `Sec-Fetch-Site`; absent: no browser, or an old one. */
  readonly site: string | undefined;
  readonly cookie: string | undefined;
}

/** What a server demands. */
export interface Demands {
  readonly port: number;
  /** Made anew at each start. */
  readonly secret: string;
}

/** Why a request is not served. */
export interface Refused {
  readonly status: 400 | 403 | 405 | 421;
  readonly message: string;
}

/** Name of the cookie: of another port's start it would be overwritten. */
export function cookieName(port: number): string {
  return `linkspan-${port}`;
}

type Check = (head: RequestHead, demands: Demands) => Refused | undefined;

/** In this order: what says the least of us comes first. */
const ENTRY_CHECKS: readonly Check[] = [onlyGet, ownHost, ownSite];
const CHECKS: readonly Check[] = [...ENTRY_CHECKS, knownReader];

/** Why a request is not served. */
export function refusalOf(head: RequestHead, demands: Demands): Refused | undefined {
  return firstRefusal(CHECKS, head, demands);
}

/** The same of whoever brings a key instead of the cookie. */
export function entryRefusalOf(head: RequestHead, demands: Demands): Refused | undefined {
  return firstRefusal(ENTRY_CHECKS, head, demands);
}

function firstRefusal(checks: readonly Check[], head: RequestHead, demands: Demands): Refused | undefined {
  for (const check of checks) {
    const refused = check(head, demands);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

function onlyGet({ method }: RequestHead): Refused | undefined {
  if (method === 'GET') return undefined;
  return { status: 405, message: 'nothing can be changed here: GET is all there is' };
}

/** A name that somebody has made to point here (DNS rebinding) is not ours. */
function ownHost({ host }: RequestHead, { port }: Demands): Refused | undefined {
  const own = ['127.0.0.1', '[::1]', 'localhost'].map((name) => `${name}:${port}`);
  if (host !== undefined && own.includes(host.toLowerCase())) return undefined;
  return { status: 421, message: `this is served to http://127.0.0.1:${port} only` };
}

/** Of another page, whatever it is; another port of this machine is another one, too. */
function ownSite({ site }: RequestHead): Refused | undefined {
  if (site === undefined || site === 'same-origin' || site === 'none') return undefined;
  return { status: 403, message: 'another page has asked for this: open the address yourself' };
}

/** Others on a machine that is shared reach the port, too. */
function knownReader({ cookie = '' }: RequestHead, { port, secret }: Demands): Refused | undefined {
  const name = `${cookieName(port)}=`;
  const values = cookie
    .split(';')
    .map((one) => one.trim())
    .filter((one) => one.startsWith(name))
    .map((one) => one.slice(name.length));
  if (values.some((value) => isSecret(value, secret))) return undefined;
  return { status: 403, message: 'open the address that `linkspan dashboard` has printed' };
}

/** Takes as long whatever is wrong. */
export function isSecret(value: string, secret: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(value), digest(secret));
}

import { About, type Field } from './fields.ts';

/**
 * Whether fields begin, or go on with, a way to sign in that holds for a whole connection: whoever sends on that
 * connection later is taken for whoever signed in (NTLM, Negotiate; RFC 4559 section 6).
 */
export function signsConnection(fields: readonly Field[]): boolean {
  for (const { about, value } of fields)
    if ((about.bits & About.SIGN_IN) !== 0 && SCHEME.test(value)) return true;
  return false;
}

const SCHEME = /(?:^|[, \t])(?:ntlm|negotiate)(?:$|[, \t])/i;

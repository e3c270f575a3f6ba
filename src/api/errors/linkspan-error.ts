import { catalogue, type ErrorCode } from './error-catalogue.ts';

/** Structured facts about an error: what was wrong and where. Values are short and never secret. */
export type ErrorFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * The one error class of the product. `code` is stable and documented in `docs/reference/errors.md`; the
 * message says what was wrong and where; `hint` says what to do (from the catalogue unless given).
 *
 * @example throw new LinkspanError('KUBECONFIG_INVALID', `${file}: no context named "west"`, { fields: { file } })
 */
export class LinkspanError extends Error {
  override readonly name = 'LinkspanError';
  readonly code: ErrorCode;
  readonly hint: string;
  readonly fields: ErrorFields;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; hint?: string; fields?: ErrorFields } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? catalogue[code].fix;
    this.fields = options.fields ?? {};
  }
}

/** The code of a Linkspan error, or undefined for any other value. */
export function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof LinkspanError ? error.code : undefined;
}

/** One line for people: `[CODE] what was wrong. What to do.` Falls back to the message of any other error. */
export function describeError(error: unknown): string {
  if (error instanceof LinkspanError) return `[${error.code}] ${error.message}. ${error.hint}`;
  return messageOf(error);
}

/**
 * What Node adds to its error about a certificate that is not trusted. It is about how to run Node, which is
 * not for users of Linkspan to do; what helps them is said by the code that throws, which knows whose
 * certificate it was. So it is cut off.
 */
const NODE_ADVICE = '; if the root CA is installed locally, try running Node.js with --use-system-ca';

function withoutAdvice(message: string): string {
  return message.replace(NODE_ADVICE, '');
}

/** Message of anything thrown, with the causes that say more (`fetch failed: connect ECONNREFUSED …`). */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = withoutAdvice(error.message === '' ? error.name : error.message);
  const cause = error.cause === undefined ? '' : messageOf(error.cause);
  return cause === '' || own.includes(cause) ? own : `${own}: ${cause}`;
}

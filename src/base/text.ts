/**
 * A text without the characters `char` at its end. An expression such as `/\/+$/` takes quadratic time for a
 * long run of them.
 */
export function withoutEnd(text: string, char: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === char) end--;
  return text.slice(0, end);
}

/** The items of a comma-separated list, trimmed; empty items are left out. */
export function listItems(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/**
 * A stranger's words as one line of at most so many characters: what a terminal would obey (control
 * characters, escape sequences, marks of direction) or a line cannot have counts as a blank.
 */
export function plainWords(text: string, most: number): string {
  return text.slice(0, most).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, ' ');
}

/**
 * Text of several lines for a terminal: colours stay, and what else a terminal would obey is left out
 * (CVE-2021-25743 of kubectl).
 */
export function plainText(text: string): string {
  return text.replace(/(\u001b\[[\d;]*m)|[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (found, colour?: string) =>
    colour !== undefined || found === '\n' || found === '\t' ? found : '',
  );
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Whether a text is a DNS label in lower case (RFC 1123), as names of namespaces and clusters are. */
export function isDnsLabel(text: string): boolean {
  return DNS_LABEL.test(text);
}

/** A text up to the first `mark`; all of it where there is none. */
export function textBefore(text: string, mark: string): string {
  const at = text.indexOf(mark);
  return at < 0 ? text : text.slice(0, at);
}

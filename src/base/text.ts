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
 * What a terminal obeys, what turns or hides text beside it, ends of lines and halves of characters: control
 * characters (C0, C1), marks of direction, and what has no width.
 */
const UNSEEN =
  // oxlint-disable-next-line no-control-regex -- control characters are what this is about
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]/gu;

/** A stranger's words as one line of at most so many characters: what is `UNSEEN` counts as a blank. */
export function plainWords(text: string, most: number): string {
  return text.slice(0, most).replace(UNSEEN, ' ');
}

/**
 * JSON in which nothing is `UNSEEN` that stands in a string: it is the same value, and moves nobody's
 * terminal. JSON itself escapes only what is below a blank.
 * @param json as `JSON.stringify` writes it
 */
export function visibleJson(json: string): string {
  return json.replace(UNSEEN, (found) =>
    found === '\n' ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A stranger's words for programs and people alike: what is `UNSEEN` is written as `\\u{1b}`. */
export function escapedText(text: string): string {
  return text.replace(UNSEEN, (found) => `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`);
}

/** Colours, and what else begins as they do or is `UNSEEN`. */
// oxlint-disable-next-line no-control-regex -- as above
const COLOUR = /^\u001b\[[0-9;]{0,16}m/;

/**
 * Text of several lines for a terminal: colours stay, and what else is `UNSEEN` is left out (CVE-2021-25743
 * of kubectl).
 */
export function plainText(text: string): string {
  return text.replace(UNSEEN, (found, at: number) => {
    const isColour = found === '\u001b' && COLOUR.test(text.slice(at, at + MAX_COLOUR));
    return isColour || found === '\n' || found === '\t' ? found : '';
  });
}

/** Longest sequence that is a colour, characters. */
const MAX_COLOUR = 20;

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

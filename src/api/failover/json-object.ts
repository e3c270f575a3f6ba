/**
 * Parses a JSON object. Its contents are untrusted, and not checked here.
 * @param most largest length of the text, characters
 * @returns undefined where the text is longer, or not a JSON object; an array counts as an object
 */
export function readJsonObject(
  text: string | undefined,
  most: number,
): Readonly<Record<string, unknown>> | undefined {
  if (text === undefined || text.length > most) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

/** Characters of the day in a time. */
const DAY_LENGTH = 'YYYY-MM-DD'.length;

/** Reads a time of RFC 3339 in UTC, as Kubernetes writes it; milliseconds since the epoch. */
export function readTime(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?Z$/.test(value))
    return undefined;
  const at = Date.parse(value);
  // `Date.parse` takes the 31st of February for the 3rd of March.
  if (Number.isNaN(at) || new Date(at).toISOString().slice(0, DAY_LENGTH) !== value.slice(0, DAY_LENGTH))
    return undefined;
  return at;
}

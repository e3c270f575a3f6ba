/** Parts that are together no longer than this are joined. */
const SMALL = 512;

/**
 * Puts a part behind those that wait. Small ones are joined: each costs more than 100 bytes beside what is in it, and windows and limits
 * count bytes only, so whoever sends byte by byte would take a hundred times what he may.
 */
export function addPart(parts: Buffer[], chunk: Buffer): void {
  const last = parts.at(-1);
  if (last === undefined || last.length + chunk.length > SMALL) {
    parts.push(chunk);
    return;
  }
  // Not of Buffer's pool: all of that would stay for a part of it.
  const joined = Buffer.allocUnsafeSlow(last.length + chunk.length);
  joined.set(last);
  joined.set(chunk, last.length);
  parts[parts.length - 1] = joined;
}

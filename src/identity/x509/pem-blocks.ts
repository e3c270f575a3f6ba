const BEGIN = '-----BEGIN ';
const END = '-----END ';
const DASHES = '-----';

/**
 * The PEM blocks (RFC 7468) of these kinds in a text, markers included, in order; text around them is
 * ignored. A block without an end marker is left out, with all that follows it.
 * @param labels such as `CERTIFICATE`
 */
export function pemBlocks(text: string, labels: readonly string[]): string[] {
  const begins = labels.map((label) => BEGIN + label + DASHES);
  const blocks: string[] = [];
  for (let at = text.indexOf(BEGIN); at >= 0; at = text.indexOf(BEGIN, at)) {
    const begin = begins.find((marker) => text.startsWith(marker, at));
    if (begin === undefined) {
      at += BEGIN.length;
      continue;
    }
    const marker = END + begin.slice(BEGIN.length);
    const end = text.indexOf(marker, at);
    if (end < 0) break;
    blocks.push(text.slice(at, end + marker.length));
    at = end + marker.length;
  }
  return blocks;
}

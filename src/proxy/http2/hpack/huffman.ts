/**
 * The lengths in bits of HPACK's Huffman codes, by symbol (RFC 7541 appendix B). The code is canonical: codes
 * of one length follow each other in the order of their symbols, and shorter codes come first, so that the
 * codes follow from their lengths.
 */
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
  8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
  28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
  22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
  22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
  25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
/** The symbol that ends a string; it is only used to fill the last byte up. */
const EOS = 256;

const CODES = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const order = LENGTHS.map((length, symbol) => ({ length, symbol })).sort(
    (a, b) => a.length - b.length || a.symbol - b.symbol,
  );
  const codes = new Uint32Array(LENGTHS.length);
  let code = 0;
  let before = 0;
  for (const { length, symbol } of order) {
    code *= 2 ** (length - before);
    codes[symbol] = code++;
    before = length;
  }
  return codes;
}

/**
 * Decoding goes by half bytes. A state is an inner node of the code's tree; no code is shorter than five
 * bits, so that a half byte completes one symbol at most. A step is a number: the next state (low 9 bits),
 * the completed symbol plus one, or 0 (9 bits), and the flags below. This one: the input may end here.
 */
const MAY_END = 1 << 18;
const FAILED = 1 << 19;
/** The symbol is a control character that no field value may hold. */
const CONTROL = 1 << 20;
const STEPS = decodingSteps();

type Node = [Node | number | undefined, Node | number | undefined];

function codeTree(): Node {
  const root: Node = [undefined, undefined];
  for (const [symbol, length] of LENGTHS.entries()) {
    const code = CODES[symbol] ?? 0;
    let node = root;
    for (let bit = length - 1; bit > 0; bit--) {
      const side = Math.floor(code / 2 ** bit) % 2 === 1 ? 1 : 0;
      const next = node[side] ?? [undefined, undefined];
      node[side] = next;
      node = next as Node;
    }
    node[code % 2 === 1 ? 1 : 0] = symbol;
  }
  return root;
}

function decodingSteps(): Uint32Array {
  const root = codeTree();
  const states: Node[] = [root];
  const indexes = new Map<Node, number>([[root, 0]]);
  // The last byte is filled up with the first bits of EOS, which are ones: with fewer than eight of them.
  const fillings = new Set<Node>();
  let filling = root;
  for (let depth = 0; depth < 8; depth++) {
    fillings.add(filling);
    filling = filling[1] as Node;
  }
  const steps: number[] = [];
  for (let at = 0; at < states.length; at++) {
    for (let half = 0; half < 16; half++) {
      const step = walk(states[at] ?? root, half, root);
      if (step === undefined) {
        steps.push(FAILED);
        continue;
      }
      let index = indexes.get(step.node);
      if (index === undefined) {
        index = states.length;
        states.push(step.node);
        indexes.set(step.node, index);
      }
      const flags = (fillings.has(step.node) ? MAY_END : 0) | (isControl(step.symbol) ? CONTROL : 0);
      steps.push(index | ((step.symbol + 1) << 9) | flags);
    }
  }
  return Uint32Array.from(steps);
}

function isControl(symbol: number): boolean {
  return (symbol >= 0 && symbol < 0x20 && symbol !== 0x09) || symbol === 0x7f;
}

/** Goes four bits down the tree; undefined where they complete EOS, which no string may contain. */
function walk(from: Node, half: number, root: Node): { node: Node; symbol: number } | undefined {
  let node = from;
  let symbol = -1;
  for (let bit = 3; bit >= 0; bit--) {
    const next = node[((half >> bit) & 1) as 0 | 1];
    if (next === EOS || next === undefined) return undefined;
    if (typeof next === 'number') {
      symbol = next;
      node = root;
    } else {
      node = next;
    }
  }
  return { node, symbol };
}

/** Where strings are decoded; one for all decoders, because none keeps anything there between two calls. */
let scratch = Buffer.allocUnsafe(4096);

/**
 * Decodes strings. Each user has its own, because it also says whether the last string was a valid field
 * value.
 */
export class HuffmanDecoder {
  /** Whether the last string contains a control character. */
  control = false;

  /** The string in `bytes[start, end)`, one character per byte; undefined: the bytes are no valid code. */
  decode(bytes: Buffer, start: number, end: number): string | undefined {
    // The shortest code has five bits.
    const most = Math.ceil(((end - start) * 8) / 5);
    if (scratch.length < most) scratch = Buffer.allocUnsafe(most);
    let length = 0;
    let step = MAY_END;
    let flags = 0;
    for (let at = start; at < end; at++) {
      const byte = bytes[at] ?? 0;
      step = STEPS[((step & 0x1ff) << 4) | (byte >> 4)] ?? FAILED;
      flags |= step;
      const first = (step >> 9) & 0x1ff;
      if (first !== 0) scratch[length++] = first - 1;
      step = STEPS[((step & 0x1ff) << 4) | (byte & 15)] ?? FAILED;
      flags |= step;
      const second = (step >> 9) & 0x1ff;
      if (second !== 0) scratch[length++] = second - 1;
      if (flags & FAILED) return undefined;
    }
    this.control = (flags & CONTROL) !== 0;
    return step & MAY_END ? scratch.toString('latin1', 0, length) : undefined;
  }
}

/** How many bytes a string takes when it is coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += LENGTHS[text.charCodeAt(at) & 0xff] ?? 0;
  return (bits + 7) >> 3;
}

/** Writes the code of a string, which has `huffmanLength` bytes. @returns the offset behind it */
export function encodeHuffman(text: string, into: Buffer, offset: number): number {
  let at = offset;
  let held = 0;
  let bits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index) & 0xff;
    let length = LENGTHS[symbol] ?? 0;
    let code = CODES[symbol] ?? 0;
    if (length > 16) {
      // At most 7 bits are held: in two parts the longest code (30 bits) stays within 32.
      held = (held << 16) | (code >>> (length - 16));
      bits += 16;
      length -= 16;
      code &= (1 << length) - 1;
      while (bits >= 8) into[at++] = held >>> (bits -= 8);
    }
    held = (held << length) | code;
    bits += length;
    while (bits >= 8) into[at++] = held >>> (bits -= 8);
  }
  if (bits > 0) into[at++] = (held << (8 - bits)) | (0xff >> bits);
  return at;
}

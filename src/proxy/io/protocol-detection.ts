/**
 * What the first bytes of a client show. `likely` and `unlikely`: not decided yet; they may still be the
 * beginning of a request line, and it is likely or unlikely that an HTTP client begins like that.
 */
export type ProtocolSight = 'http1' | 'http2' | 'opaque' | 'likely' | 'unlikely';

const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const VERSION = Buffer.from('http/', 'latin1');
const LF = 0x0a;
const SLASH = 0x2f;
/**
 * The usual methods of IANA's registry: what begins like one of them is `likely` a request.
 */
const METHODS: readonly string[] =
  'GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE PRI PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH QUERY'.split(
    ' ',
  );
const LONGEST = Math.max(...METHODS.map(({ length }) => length));

/**
 * Kinds of bytes: those of a token (RFC 9110 section 5.6.2), and those that lenient servers take for blanks,
 * which are more than RFC 9112 allows.
 */
const TOKEN = 1;
const BLANK = 2;
const KINDS = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~") KINDS[char.charCodeAt(0)] = TOKEN;
for (const [from, to] of ['09', 'az', 'AZ'])
  for (let code = from?.charCodeAt(0) ?? 0; code <= (to?.charCodeAt(0) ?? -1); code++) KINDS[code] = TOKEN;
for (const code of [0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x85, 0xa0])
  KINDS[code] = BLANK;

/**
 * Reads a client's first line, and decides as soon as possible whether it is the request line of HTTP. Each
 * byte is looked at once, so that the result depends neither on the pieces in which the bytes come nor on the
 * length of the line.
 *
 * In doubt it is HTTP: whatever a lenient server could take for a request (blank lines before it, blanks of
 * any kind between its words, `http/1.1`, the bare `GET /` of HTTP/0.9, any token as method) is HTTP here,
 * and is then parsed strictly. Only the end of the line, or a method that is no token, makes it `opaque`: no
 * client escapes what reads requests by writing them oddly (ADR 0025).
 */
export class FirstLine {
  /** Bytes of the preface of HTTP/2 that have come; -1: the first bytes are not it. */
  #preface = 0;
  #word: 'before' | 'method' | 'rest' = 'before';
  #method = '';
  /** First byte behind the method and its blanks; 0: it has not come. */
  #target = 0;
  /** Bytes of ` HTTP/` that have come; the blank is the first. */
  #version = 0;
  #sight: ProtocolSight = 'likely';

  /** What has been seen so far. */
  get sight(): ProtocolSight {
    return this.#sight;
  }

  /** Whether the bytes so far are the preface of HTTP/2, or its beginning. */
  get mayBeHttp2(): boolean {
    return this.#preface >= 0;
  }

  /** Takes the next bytes. @returns `sight`; once it is decided, further bytes do not change it */
  take(chunk: Buffer): ProtocolSight {
    for (let at = this.#skip(chunk, 0); at < chunk.length && !this.decided; at = this.#skip(chunk, at + 1))
      this.#sight = this.#next(chunk[at] ?? 0);
    return this.#sight;
  }

  /**
   * Passes over the rest of a long word, which decides nothing.
   * @returns the offset of the next byte that may
   */
  #skip(chunk: Buffer, from: number): number {
    let at = from;
    if (this.#word === 'method' && this.#method.length > LONGEST) {
      while (at < chunk.length && KINDS[chunk[at] ?? 0] === TOKEN) at++;
    } else if (this.#word === 'rest' && this.#target !== 0 && this.#version === 0) {
      while (at < chunk.length && KINDS[chunk[at] ?? 0] !== BLANK) at++;
    }
    return at;
  }

  /** Whether further bytes change nothing. */
  get decided(): boolean {
    return this.#sight !== 'likely' && this.#sight !== 'unlikely';
  }

  #next(byte: number): ProtocolSight {
    if (this.#preface >= 0) {
      this.#preface = byte === HTTP2_PREFACE[this.#preface] ? this.#preface + 1 : -1;
      if (this.#preface === HTTP2_PREFACE.length) return 'http2';
    }
    const kind = KINDS[byte] ?? 0;
    if (this.#versioned) return this.#request();
    if (this.#word === 'rest') return this.#rest(byte, kind);
    if (this.#word === 'before' && kind === BLANK) return 'likely';
    if (kind === TOKEN) return this.#methodByte(byte);
    if (kind !== BLANK || byte === LF) return 'opaque';
    this.#word = 'rest';
    this.#version = 1;
    return this.#sight;
  }

  #methodByte(byte: number): ProtocolSight {
    this.#word = 'method';
    if (this.#method.length <= LONGEST) this.#method += String.fromCharCode(byte);
    return METHODS.some((method) => method.startsWith(this.#method)) ? 'likely' : 'unlikely';
  }

  #rest(byte: number, kind: number): ProtocolSight {
    if (byte === LF) return this.#method === 'GET' && this.#target === SLASH ? 'http1' : 'opaque';
    const follows = this.#version > 0 && (byte | 0x20) === VERSION[this.#version - 1];
    this.#version = kind === BLANK ? 1 : follows ? this.#version + 1 : 0;
    if (this.#versioned) return this.#request();
    if (this.#target !== 0 || kind === BLANK) return this.#sight;
    this.#target = byte;
    return byte === SLASH || METHODS.includes(this.#method) ? 'likely' : 'unlikely';
  }

  get #versioned(): boolean {
    return this.#version > VERSION.length;
  }

  /**
   * The line has a version: it is a request line, or the preface of HTTP/2, whose first line looks like one
   * and which the bytes behind it decide.
   */
  #request(): ProtocolSight {
    return this.#preface >= 0 ? 'likely' : 'http1';
  }
}

/** Type of a SETTINGS frame. */
const SETTINGS = 4;

/**
 * Whether a server that speaks first speaks HTTP: its first bytes are a SETTINGS frame, with which HTTP/2
 * begins (RFC 9113 section 3.4; many servers do not wait for their client), or an HTTP/1 response that nobody
 * has asked for.
 */
export function isHttpServer(first: Buffer): boolean {
  if (first.toString('latin1', 0, 7) === 'HTTP/1.') return true;
  return first.length >= 9 && first[3] === SETTINGS && first.readUInt32BE(5) === 0;
}

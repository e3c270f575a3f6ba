import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  type FloodLimit,
  IDLE_FRAME_LIMIT,
  RAPID_MS,
  RESET_LIMIT,
  UPDATE_BYTES_SHIFT,
  UPDATES_PER_FRAME,
} from '../../../src/proxy/http2/flood-protection.ts';
import { MAX_BLOCK, MAX_CONTINUATIONS } from '../../../src/proxy/http2/header-block.ts';
import { MAX_HEADER_LIST, SERVER_STREAMS } from '../../../src/proxy/http2/http2-options.ts';
import { MAX_UNREAD } from '../../../src/proxy/http2/sender.ts';
import { STREAM_RESETS } from '../../../src/proxy/streams/stream-head.ts';
import { root } from '../../support/runtime-process.ts';

const PAGE = 'docs/adr/0016-http2-limits.md';
const GATEWAY = 'docs/reference/gateway.md';
/** How far the limits have to be from real programs. */
const ROOM = 10;
const KIB = 1024;
const MIB = 1024 * KIB;

const said = (count: number) => count.toLocaleString('en-US');
const atOnce = ({ burst, perSecond }: FloodLimit, what: string) =>
  `${said(burst)} ${what} + ${said(perSecond)}/s`;

/** The first cells of the table, as the constants have them. */
const LIMITS = [
  `${atOnce(RESET_LIMIT, `resets within ${RAPID_MS} ms of the request and before an answer,`)}, + 1 per stream that ends`,
  `WINDOW_UPDATE: ${UPDATES_PER_FRAME} per DATA frame sent + 1 per ${1 << UPDATE_BYTES_SHIFT} bytes; further ones are idle frames`,
  `${atOnce(IDLE_FRAME_LIMIT, 'idle frames')} + 1 per frame that carries something`,
  `the same resets between our own egress and gateway: ${said(STREAM_RESETS.burst)} + ${said(STREAM_RESETS.perSecond)}/s`,
  `${SERVER_STREAMS} streams at a time, said in SETTINGS; each one more costs a reset`,
  `${MAX_HEADER_LIST / KIB} KiB of fields, said in SETTINGS`,
  `${MAX_BLOCK / KIB} KiB of a header block, in at most ${MAX_CONTINUATIONS} CONTINUATIONs`,
  `${MAX_UNREAD / MIB} MiB of frames that the peer asked for and does not read`,
];

/** What a limit is where nothing of it is free by what was sent. */
const TOTALS: Readonly<Record<string, number>> = {
  resets: RESET_LIMIT.burst,
  'idle frames': IDLE_FRAME_LIMIT.burst,
  'KiB of fields': MAX_HEADER_LIST,
  'KiB of a header block': MAX_BLOCK,
};

interface Row {
  readonly limit: string;
  readonly used: string;
  readonly room: string;
}

function rowsOf(page: string): Row[] {
  let limit = '';
  return page
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2)
    .map((line) => {
      const [first = '', , , used = '', room = ''] = line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim());
      limit = first === '' ? limit : first;
      return { limit, used, room };
    });
}

const numberOf = (text: string) => Number(text.replaceAll(',', ''));

// The row of 64 KiB of fields said 8 x where 10 x were asked for, and nobody noticed; a constant that moves
// would have left all of it behind.
describe("the table of HTTP/2's limits", () => {
  const rows = rowsOf(readFileSync(path.join(root, PAGE), 'utf8'));

  it('has every limit, as the code has it', () => {
    expect([...new Set(rows.map(({ limit }) => limit))]).to.deep.equal(LIMITS);
  });

  it('has room of ten times and more behind what real programs use', () => {
    const measured = rows.filter(({ room }) => room.endsWith('×'));
    expect(measured.length).to.be.at.least(10);
    for (const { limit, used, room } of measured) {
      // The most that was used: `29`, `137 to 180`, or `96,655 of 1,860,088`.
      const [, some = '', all] = /([\d,]+)(?: of ([\d,]+))?$/.exec(used) ?? [];
      const total = all === undefined ? totalOf(limit) : numberOf(all);
      const factor = Math.floor(total / numberOf(some));
      expect(numberOf(room.replace(' ×', '')), `${limit}: ${used}`).to.equal(factor);
      expect(factor, `${limit}: ${used}`).to.be.at.least(ROOM);
    }
  });

  it('is what the reference says, too', () => {
    const text = readFileSync(path.join(root, GATEWAY), 'utf8');
    const limits = text.split('\n').find((line) => line.startsWith('**Limits of HTTP/2**')) ?? '';
    for (const part of [
      `${SERVER_STREAMS} streams a connection`,
      `${MAX_HEADER_LIST / KIB} KiB of headers, ${MAX_CONTINUATIONS} CONTINUATION frames`,
      `${said(RESET_LIMIT.burst)} streams that are reset within ${RAPID_MS} ms`,
      `then ${RESET_LIMIT.perSecond} a second, earned back by streams that end`,
      `${said(IDLE_FRAME_LIMIT.burst)} frames that carry nothing and then ${IDLE_FRAME_LIMIT.perSecond} a second`,
      `${MAX_UNREAD / MIB} MiB of answers`,
    ])
      expect(limits).to.contain(part);
    expect(text).to.contain(`headers larger than ${MAX_HEADER_LIST / KIB} KiB (HTTP/2) | 431`);
  });
});

function totalOf(limit: string): number {
  const found = Object.entries(TOTALS).find(([name]) => limit.includes(name));
  if (found === undefined) throw new Error(`${PAGE}: what is the limit of "${limit}"?`);
  return found[1];
}

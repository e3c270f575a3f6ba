import type { EdgeRow } from '../../traffic/edge-rows.ts';
import { inOrder, type Sort, SORTS } from '../../traffic/stat-row.ts';
import { edgeName, TOP_COLUMNS } from './edges-text.ts';
import { noTraffic, trafficTable } from './traffic-text.ts';
import { plainText } from '../../base/text.ts';

/** What somebody who looks at `linkspan top` has chosen. */
export interface TopState {
  readonly sort: Sort;
  /** Only rows that have this in a name; compared without case. */
  readonly filter: string;
  /** Whether keys go into the filter. */
  readonly typing: boolean;
  readonly paused: boolean;
  readonly help: boolean;
  /** Rows that are above the first one that is shown. */
  readonly offset: number;
}

export const TOP_BEGINS: TopState = {
  sort: 'failing',
  filter: '',
  typing: false,
  paused: false,
  help: false,
  offset: 0,
};

/** Longest filter, characters. */
const MAX_FILTER = 64;
const HELP = [
  'q          end',
  'up, down   one row; page up, page down: a page',
  's          the next order: ' + SORTS.join(', '),
  '/          only rows with this in a name: Enter keeps it, Esc clears it',
  'p          hold the picture, and go on',
  '?          this, and back',
];

/** A key as Node's readline calls it, and the text that it makes. */
export interface Key {
  readonly name?: string | undefined;
  readonly ctrl?: boolean | undefined;
  readonly text: string;
}

/** What a key does. @param page rows of a page @returns undefined: it is over */
export function afterKey(state: TopState, key: Key, page: number): TopState | undefined {
  if (key.ctrl === true && (key.name === 'c' || key.name === 'd')) return undefined;
  if (state.typing) return typed(state, key);
  const moved = MOVES[key.name ?? '']?.(page);
  if (moved !== undefined) return { ...state, offset: Math.max(0, state.offset + moved) };
  if (key.text === 'q') return undefined;
  return { ...state, ...CHANGES.get(key.text)?.(state) };
}

type Change = (state: TopState) => Partial<TopState>;

/** What keys change. */
const CHANGES: ReadonlyMap<string, Change> = new Map<string, Change>([
  ['s', ({ sort }) => ({ sort: SORTS[(SORTS.indexOf(sort) + 1) % SORTS.length] ?? 'failing' })],
  ['/', () => ({ typing: true, help: false })],
  ['p', ({ paused }) => ({ paused: !paused })],
  ['?', ({ help }) => ({ help: !help })],
]);

const MOVES: Readonly<Record<string, (page: number) => number>> = {
  up: () => -1,
  down: () => 1,
  pageup: (page) => -page,
  pagedown: (page) => page,
  home: () => -Infinity,
};

function typed(state: TopState, { name, text }: Key): TopState {
  if (name === 'return' || name === 'enter') return { ...state, typing: false };
  if (name === 'escape') return { ...state, typing: false, filter: '', offset: 0 };
  if (name === 'backspace') return { ...state, filter: state.filter.slice(0, -1), offset: 0 };
  const filter = `${state.filter}${plainText(text).replaceAll(/[\n\t]/g, '')}`.slice(0, MAX_FILTER);
  return { ...state, filter, offset: 0 };
}

/** What a reading and the state come to. */
export interface TopPicture {
  /** Undefined: nobody has said anything yet. */
  readonly rows: readonly EdgeRow[] | undefined;
  /** Who did not answer. */
  readonly notes: readonly string[];
  readonly windowMs: number;
  /** Size of the terminal. */
  readonly columns: number;
  readonly lines: number;
}

/** The lines of a screen, each no longer than it is wide, no more than it has. */
export function topLines(state: TopState, picture: TopPicture): string[] {
  const { columns, lines } = picture;
  const body = state.help ? HELP : tableLines(state, picture);
  const room = Math.max(0, lines - 2);
  const notes = picture.notes.map((note) => `! ${note}`).slice(0, room);
  // However many rows there are, it is seen who is not among them.
  const shown = [...body.slice(0, room - notes.length), ...notes];
  return [statusLine(state, picture), ...shown].map((line) => plainText(line).slice(0, columns));
}

function tableLines(state: TopState, { rows, windowMs, lines }: TopPicture): string[] {
  if (rows === undefined) return [];
  const wanted = state.filter.toLowerCase();
  const own = rows.filter((row) => wanted === '' || edgeName(row).toLowerCase().includes(wanted));
  const ordered = inOrder(own, state.sort, edgeName);
  const offset = Math.max(0, Math.min(state.offset, ordered.length - 1));
  const page = ordered.slice(offset, offset + lines).map((row) => ({ ...row, message: '' }));
  if (rows.length > 0 && page.length === 0) return ['No name has this in it.'];
  if (page.length === 0) return [noTraffic(0, windowMs).trimEnd()];
  return trafficTable(TOP_COLUMNS, page, edgeName, undefined).trimEnd().split('\n');
}

function statusLine({ sort, filter, typing, paused }: TopState, { rows = [] }: TopPicture): string {
  const failing = rows.filter((row) => row.failing).length;
  const rps = rows.reduce((sum, row) => sum + (row.rps ?? 0), 0);
  const parts = [
    `${rows.length} pairs, ${failing} failing, ${rps.toFixed(1)} rps`,
    `by ${sort}`,
    ...(typing || filter !== '' ? [`/${filter}${typing ? '_' : ''}`] : []),
    ...(paused ? ['HELD'] : []),
    '? for keys',
  ];
  return parts.join('  ');
}

import { batch, signal } from '@preact/signals';
import type { ErrorAnswer, TapLine, TapOver } from '../answers.ts';
import type { ErrorWords } from '../snapshot.ts';
import { announce } from './announcements.ts';
import { type TapRow, tapRow, withRows } from './tap-lines.ts';

/** One tap at a time, over all clusters that are shown: what it has seen, and how it stands. */

/** `asking`: a token is asked for; `over`: the time is over, or somebody ended it. */
export const tapState = signal<'asking' | 'never' | 'over' | 'running'>('never');
/** The newest first, no more than a screen can hold. */
export const tapRows = signal<readonly TapRow[]>([]);
/** Flows that could not be shown, and what pods said at the end. */
export const tapLost = signal(0);
export const tapEnds = signal<readonly string[]>([]);
export const tapRefusals = signal<readonly { readonly context: string; readonly error: ErrorWords }[]>([]);
/** Whether the picture is held; what comes meanwhile is kept. */
export const tapHeld = signal(false);

/** How often what has come is shown, milliseconds: at most so much is drawn, whatever comes. */
const DRAW_MS = 250;
/** As many as are kept while the picture is held. */
const MOST_WAITING = 500;

let sources: EventSource[] = [];
let waiting: TapRow[] = [];
let drawing: ReturnType<typeof setInterval> | undefined;

/** Begins anew. @param query that of `/tap`, without the context */
export function startTap(contexts: readonly string[], query: URLSearchParams): void {
  stopTap();
  batch(() => {
    tapRows.value = [];
    tapLost.value = 0;
    tapEnds.value = [];
    tapRefusals.value = [];
    tapHeld.value = false;
    tapState.value = 'asking';
  });
  sources = contexts.map((context) => open(context, query));
  drawing = setInterval(draw, DRAW_MS);
}

/** Ends it; what was seen stays. */
export function stopTap(): void {
  for (const source of sources) source.close();
  sources = [];
  clearInterval(drawing);
  draw();
  if (tapState.value === 'running' || tapState.value === 'asking') tapState.value = 'over';
}

function open(context: string, query: URLSearchParams): EventSource {
  const asked = new URLSearchParams(query);
  asked.set('context', context);
  const source = new EventSource(`/live/tap?${asked.toString()}`);
  source.addEventListener('tap', (event: MessageEvent<string>) => {
    tapState.value = 'running';
    take(context, JSON.parse(event.data) as TapLine);
  });
  source.addEventListener('open', () => {
    if (tapState.value === 'asking') tapState.value = 'running';
  });
  source.addEventListener('refused', (event: MessageEvent<string>) => {
    const { error } = JSON.parse(event.data) as ErrorAnswer;
    tapRefusals.value = [...tapRefusals.value, { context, error }];
    announce(`Tap refused: ${error.message}`);
    ended(source);
  });
  source.addEventListener('over', (event: MessageEvent<string>) => {
    tapEnds.value = [...tapEnds.value, ...(JSON.parse(event.data) as TapOver).failures];
    ended(source);
  });
  // A browser would begin anew by itself, with a new token: who wants that starts it again.
  source.addEventListener('error', () => ended(source));
  return source;
}

function ended(source: EventSource): void {
  source.close();
  sources = sources.filter((one) => one !== source);
  if (sources.length === 0) stopTap();
}

function take(context: string, { pod, event }: TapLine): void {
  if (event.type === 'lost') tapLost.value += event.count;
  if (event.type === 'end') tapEnds.value = [...tapEnds.value, `${pod}: ${event.message ?? event.why}`];
  if (event.type !== 'flow' && event.type !== 'open') return;
  waiting.push(tapRow(event, pod, context));
  if (waiting.length > MOST_WAITING) {
    tapLost.value += waiting.length - MOST_WAITING;
    waiting = waiting.slice(-MOST_WAITING);
  }
}

function draw(): void {
  if (tapHeld.value || waiting.length === 0) return;
  tapRows.value = withRows(tapRows.value, waiting);
  waiting = [];
}

/** How things are said to be: a tone is a colour, a shape and a word, never a colour alone. Pure. */

export type Tone = 'bad' | 'good' | 'idle' | 'stale' | 'warn';

/** A state as it is shown. */
export interface Said {
  readonly tone: Tone;
  readonly word: string;
}

interface Judged {
  readonly failing: boolean;
  readonly reason: string;
  readonly rps?: number | null;
}

/** Reasons that are as it should be: they are no news. */
const FINE = new Set(['', 'Mirrored', 'Pending']);

/** What a row of numbers comes to. */
export function rowTone({ failing, reason, rps }: Judged): Said {
  if (failing) return { tone: 'bad', word: 'Failing' };
  if (!FINE.has(reason)) return { tone: 'warn', word: 'Look' };
  return rps === null || rps === undefined ? { tone: 'idle', word: 'Quiet' } : { tone: 'good', word: 'Fine' };
}

/** A condition of a Link: all of them are true where all is well. */
export function conditionTone(status: string): Said {
  if (status === 'True') return { tone: 'good', word: 'True' };
  return status === 'False' ? { tone: 'bad', word: 'False' } : { tone: 'idle', word: 'Unknown' };
}

const ADDRESSES: Readonly<Record<string, Said>> = {
  alive: { tone: 'good', word: 'Alive' },
  suspect: { tone: 'warn', word: 'Suspect' },
  dead: { tone: 'bad', word: 'Dead' },
};

/** An address of a gateway. */
export function addressTone(state: string): Said {
  return ADDRESSES[state] ?? { tone: 'idle', word: 'Unknown' };
}

const CONTEXTS: Readonly<Record<string, Said>> = {
  loading: { tone: 'idle', word: 'asking' },
  ok: { tone: 'good', word: 'answers' },
  partial: { tone: 'warn', word: 'answers in part' },
  stale: { tone: 'stale', word: 'is silent' },
  unreachable: { tone: 'bad', word: 'cannot be reached' },
  forbidden: { tone: 'bad', word: 'may not be read' },
  absent: { tone: 'idle', word: 'has no Linkspan' },
};

/** A cluster that is asked. */
export function contextTone(state: string): Said {
  return CONTEXTS[state] ?? { tone: 'idle', word: state };
}

/** The same with what its controllers do: without one a cluster is not as it should be. */
export function installationTone(state: string, controller: string): Said {
  if (state !== 'ok' || (controller !== 'absent' && controller !== 'silent')) return contextTone(state);
  return { tone: 'warn', word: controller === 'absent' ? 'has no controller' : 'has a silent controller' };
}

/** What a success rate is worth as a colour, where no verdict says it. @param success 0 to 1 */
export function successTone(success: number | null): Tone {
  if (success === null) return 'idle';
  if (success >= 0.999) return 'good';
  return success >= 0.95 ? 'warn' : 'bad';
}

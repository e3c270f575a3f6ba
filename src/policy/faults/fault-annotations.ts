import { type Annotations, readAnnotation } from '../../api/annotations.ts';
import type { Clock } from '../../base/clock.ts';
import { parseConfig } from '../../base/config.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { FAULTS } from '../../api/names.ts';
import { type FaultRule, faultRules } from './fault-rules.ts';

export interface ReadFaults {
  readonly rules: readonly FaultRule[];
  /** What is wrong with the annotation; nothing is injected then. */
  readonly problems: readonly string[];
}

const NONE: ReadFaults = { rules: [], problems: [] };

/**
 * The annotations `linkspan.dev/faults` of Services. Whether a rule ends too late is judged when its text is
 * first seen, and remembered as long as the text is the same: what was refused must not begin by itself hours
 * later.
 */
export class FaultAnnotations {
  readonly #clock: Clock;
  readonly #allowed: boolean;
  readonly #read = new Map<string, { readonly text: string; readonly read: ReadFaults }>();

  /** @param allowed whether there may be faults at all */
  constructor(clock: Clock, allowed: boolean) {
    this.#clock = clock;
    this.#allowed = allowed;
  }

  /** @param key `namespace/name` of the Service */
  of(key: string, annotations: Annotations | undefined): ReadFaults {
    const text = readAnnotation(annotations, FAULTS);
    if (text === undefined) {
      this.#read.delete(key);
      return NONE;
    }
    const known = this.#read.get(key);
    if (known?.text === text) return known.read;
    const read = this.#allowed ? readFaults(text, this.#clock.now()) : NOT_ALLOWED;
    this.#read.set(key, { text, read });
    return read;
  }
}

const NOT_ALLOWED: ReadFaults = {
  rules: [],
  problems: [`${FAULTS} has no effect: the gateway was started without --allow-fault-injection`],
};

/**
 * Reads the rules of an annotation. One that is wrong injects nothing. Pure.
 * @param now milliseconds since the epoch
 */
export function readFaults(text: string, now: number): ReadFaults {
  const problem = (what: string): ReadFaults => ({
    rules: [],
    problems: [`${FAULTS}: ${what}; nothing is injected`],
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return problem('it is not JSON');
  }
  try {
    return { rules: parseConfig(faultRules(now), value, FAULTS), problems: [] };
  } catch (error) {
    return problem(messageOf(error).replace(`${FAULTS}: `, ''));
  }
}

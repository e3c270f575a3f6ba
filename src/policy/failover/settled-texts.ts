import type { FailoverTexts } from '../../api/mirror/failover-texts.ts';
import { isPolicyWord, readFailoverPolicy } from './failover-policy-text.ts';
import { readTiers } from './tiers.ts';

export interface SettledTexts extends FailoverTexts {
  /** What is wrong with what was written, one line each. */
  readonly problems: readonly string[];
}

/**
 * What holds of what somebody wrote: a text that is right holds as it is; of one that is not, what held
 * before holds on. Tiers do as a whole, a policy key by key. What holds is published, so that a controller
 * that starts and an egress that reads decide by the same. Pure; never throws.
 * @param before what held until now
 */
export function settleTexts(written: FailoverTexts, before: FailoverTexts): SettledTexts {
  const tiers = readTiers(written.tiers);
  const policy = readFailoverPolicy(written.policy);
  return {
    tiers: tiers.problems.length === 0 ? written.tiers : before.tiers,
    policy:
      policy.problems.length === 0 ? written.policy : repaired(written.policy ?? '', before.policy ?? ''),
    problems: [...tiers.problems, ...policy.problems],
  };
}

/** Words in place of those that are wrong, where the same key held before; undefined: nothing is left. */
function repaired(written: string, before: string): string | undefined {
  const held = new Map(wordsOf(before).map((word) => [keyOf(word), word]));
  const words = new Map<string, string>();
  for (const word of wordsOf(written)) {
    const key = keyOf(word);
    const right = isPolicyWord(word) ? word : held.get(key);
    if (right !== undefined && !words.has(key)) words.set(key, right);
  }
  return words.size === 0 ? undefined : [...words.values()].join(' ');
}

function wordsOf(text: string): string[] {
  return text.split(/\s/).filter((word) => word !== '');
}

function keyOf(word: string): string {
  const at = word.indexOf('=');
  return at < 0 ? word : word.slice(0, at);
}

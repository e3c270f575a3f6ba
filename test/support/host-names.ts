import type { Clock } from '../../src/base/clock.ts';
import { answerOf, type LookUp } from '../../src/dns/answer.ts';
import { HostNames } from '../../src/dns/host-names.ts';
import { createLogger } from '../../src/telemetry/log.ts';

/** Host names that resolve to what a test says, without jitter. */
export function namesOf(lookUp: LookUp, clock: Clock, log = createLogger({ name: 'test', level: 'silent' })) {
  return new HostNames({ lookUp, clock, random: () => 0, log });
}

/** For tests that use addresses only. */
export function noNames(clock: Clock): HostNames {
  return namesOf((name) => Promise.reject(new Error(`no names in this test: ${name}`)), clock);
}

/** Names and their addresses, read at each look-up, so that a test can change them; others have none. */
export function listedNames(
  answers: Readonly<Record<string, readonly string[]>>,
  clock: Clock,
  ttlMs = 5000,
): HostNames {
  return namesOf((name) => Promise.resolve(answerOf(answers[name] ?? [], ttlMs)), clock);
}

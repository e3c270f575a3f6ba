/**
 * To be loaded before a program that serves: gives it mistakes that no part of it catches, 50 with each
 * signal. SIGUSR2: exceptions out of timers; SIGHUP: promises that are rejected and that nobody waits for.
 */
export const MARK = 'the words of a peer';
export const MISTAKES = 50;

/** With a line that looks like one of a stack. */
const WORDS = `${MARK}\n    at a place that a peer has written`;

process.on('SIGUSR2', () => {
  for (let at = 0; at < MISTAKES; at++)
    setTimeout(() => {
      throw new TypeError(WORDS);
    }, 0);
});
process.on('SIGHUP', () => {
  for (let at = 0; at < MISTAKES; at++)
    setTimeout(() => {
      void Promise.reject(new TypeError(WORDS));
    }, 0);
});

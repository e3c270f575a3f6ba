/**
 * `npm run check:commits -- main..HEAD`: the commits of a range have the form of CONTRIBUTING.md. Merges are
 * left out. Prints what is not so and exits with 1.
 */
import { execFileSync } from 'node:child_process';

/** What `git log` shows of a subject in its short views. */
const SUBJECT_LENGTH = 72;
const BODY_WIDTH = 120;

/** What is wrong with a commit's message. */
export function messageViolations(message: string): string[] {
  const [subject = '', second = '', ...rest] = message.trimEnd().split('\n');
  const found: string[] = [];
  if (subject.length > SUBJECT_LENGTH)
    found.push(`the subject has ${subject.length} characters, ${SUBJECT_LENGTH} at most`);
  if (subject.endsWith('.')) found.push('the subject ends with a full stop');
  if (!subject.includes(' ')) found.push('the subject is one word; it says what is so now');
  if (/^(fixup!|squash!|amend!|wip\b)/i.test(subject)) found.push('this is not meant to stay');
  if (second !== '') found.push('the second line is not empty');
  if (rest.length === 0) found.push('there is no body; it says why');
  // A line without blanks is an address or a command's output, which must not be broken.
  if (rest.some((line) => line.length > BODY_WIDTH && line.trim().includes(' ')))
    found.push(`the body is not wrapped at ${BODY_WIDTH} columns`);
  return found;
}

if (import.meta.main) {
  const range = process.argv[2];
  if (range === undefined) throw new Error('give the range: npm run check:commits -- main..HEAD');
  const log = execFileSync('git', ['log', '--no-merges', '--format=%h%n%B%x00', range], { encoding: 'utf8' });
  for (const entry of log.split('\0')) {
    const [id = '', ...lines] = entry.trimStart().split('\n');
    if (id === '') continue;
    for (const what of messageViolations(lines.join('\n'))) {
      process.stderr.write(`${id} ${lines[0]}: ${what}\n`);
      process.exitCode = 1;
    }
  }
}

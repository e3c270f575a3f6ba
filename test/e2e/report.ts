import { writeFileSync } from 'node:fs';

interface Step {
  readonly part: string;
  readonly what: string;
  readonly passed: boolean;
  readonly detail: string;
  readonly seconds: number;
}

/** What was checked, in order, with times: a line as it happens, and a table at the end. */
export class Report {
  readonly #began = performance.now();
  readonly #onFailure: () => Promise<void>;
  readonly #steps: Step[] = [];
  readonly #only: RegExp | undefined;
  #part = { title: '', needed: true, always: true };
  #abandoned = false;

  /**
   * @param onFailure shows what the people who look into a failed step will want to know
   * @param only names of steps that are done, of those whose part is not for all; default: all
   */
  constructor(onFailure: () => Promise<void>, only?: RegExp) {
    this.#onFailure = onFailure;
    this.#only = only;
  }

  /**
   * Begins a part of the table.
   * @param needed the rest is of no use when one of its steps has failed
   * @param always all its steps are done, whichever were chosen; default: when it is needed
   */
  part(
    title: string,
    { needed = false, always = needed }: { needed?: boolean; always?: boolean } = {},
  ): void {
    this.#part = { title, needed, always };
    this.say(`— ${title}`);
  }

  say(text: string): void {
    process.stdout.write(`${seconds(performance.now() - this.#began)} s  ${text}\n`);
  }

  /**
   * Does a step and writes down what `probe` returns, or what it throws, which goes on to the caller only
   * where the rest is of no use without it.
   */
  async step(what: string, probe: () => Promise<string>): Promise<void> {
    if (this.#only?.test(what) === false && !this.#part.always) return;
    const began = performance.now();
    const done = (passed: boolean, detail: string) => {
      const took = (performance.now() - began) / 1000;
      this.#steps.push({ part: this.#part.title, what, passed, detail, seconds: took });
      this.say(`${passed ? '✔' : '✘'} ${what}${detail === '' ? '' : ` (${detail})`}`);
    };
    try {
      done(true, await probe());
    } catch (error) {
      done(false, error instanceof Error ? error.message : String(error));
      await this.#onFailure();
      if (this.#part.needed) throw error;
    }
  }

  get passed(): boolean {
    return !this.#abandoned && this.#steps.every(({ passed }) => passed);
  }

  /** Says why the rest was left out. */
  abandon(error: unknown): void {
    this.#abandoned = true;
    this.say(error instanceof Error ? error.message : String(error));
  }

  /** For people: a table of the steps. */
  table(): string {
    const width = Math.max(0, ...this.#steps.map(({ what }) => what.length));
    const lines = this.#steps.flatMap(({ part, what, passed, detail, seconds: took }, index) => [
      ...(part === this.#steps[index - 1]?.part ? [] : ['', part]),
      `  ${passed ? '✔' : '✘'} ${what.padEnd(width)} ${took.toFixed(1).padStart(6)} s  ${detail}`.trimEnd(),
    ]);
    return `${lines.join('\n')}\n\n${this.#sum()}\n`;
  }

  /** The same as Markdown. */
  write(file: string, title: string): void {
    const rows = this.#steps.map(
      ({ part, what, passed, detail, seconds: took }) =>
        `| ${part} | ${what} | ${passed ? 'passed' : '**failed**'} | ${took.toFixed(1)} s | ${oneCell(detail)} |`,
    );
    const head = ['| part | step | outcome | time | what was seen |', '| --- | --- | --- | --- | --- |'];
    writeFileSync(file, `# ${title}\n\n${[...head, ...rows].join('\n')}\n\n${this.#sum()}\n`);
  }

  #sum(): string {
    const passed = this.#steps.filter((step) => step.passed).length;
    const took = (performance.now() - this.#began) / 1000;
    const rest = this.#abandoned ? ', the rest was left out' : '';
    return `${passed} passed, ${this.#steps.length - passed} failed${rest}, in ${took.toFixed(0)} s`;
  }
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1).padStart(6);
}

function oneCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ');
}

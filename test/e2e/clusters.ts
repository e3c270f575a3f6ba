import { spawn, type SpawnOptions } from 'node:child_process';

/** A command that runs. */
export interface Running {
  /** When it has printed something; rejects when it ends before. */
  readonly spoke: Promise<void>;
  /** What it printed; rejects with its error output. */
  readonly output: Promise<string>;
  /** What it has printed until now. */
  readonly soFar: () => string;
  /** Ends its standard input. */
  readonly endInput: (text?: string) => void;
}

/** A kubeconfig context that the e2e run works in. */
export class Context {
  readonly name: string;
  readonly #kubeconfig: string | undefined;

  constructor(name: string, kubeconfig: string | undefined) {
    this.name = name;
    this.#kubeconfig = kubeconfig;
  }

  /** Flags that make kubectl or linkspan use this context. */
  get flags(): string[] {
    return [...this.#file, '--context', this.name];
  }

  /** The same for helm. */
  get helmFlags(): string[] {
    return [...this.#file, '--kube-context', this.name];
  }

  get #file(): string[] {
    return this.#kubeconfig === undefined ? [] : ['--kubeconfig', this.#kubeconfig];
  }

  /** Runs kubectl and returns what it prints. @throws Error with what it said */
  kubectl(...args: string[]): Promise<string> {
    return output('kubectl', [...this.flags, ...args]);
  }

  /** Starts kubectl with its standard input open. */
  start(...args: string[]): Running {
    return start('kubectl', [...this.flags, ...args]);
  }

  /** Applies YAML or JSON text. */
  async apply(text: string): Promise<void> {
    const kubectl = this.start('apply', '-f', '-');
    kubectl.endInput(text);
    await kubectl.output;
  }

  async json<T>(...args: string[]): Promise<T | undefined> {
    const text = await this.kubectl('get', ...args, '--ignore-not-found', '-o', 'json');
    return text.trim() === '' ? undefined : (JSON.parse(text) as T);
  }
}

/** Output of a command without input. @throws Error with its error output */
export function output(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<string> {
  const running = start(command, args, options);
  running.endInput();
  return running.output;
}

function start(command: string, args: readonly string[], options: SpawnOptions = {}): Running {
  const child = spawn(command, args, { ...options, stdio: 'pipe' });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  // A command that does not read its input may be gone before it is ended.
  child.stdin.on('error', () => undefined);
  const done = new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(out);
      else reject(new CommandError([command, ...args].join(' '), code, out, err));
    });
  });
  // Whoever asks later still learns of it.
  done.catch(() => undefined);
  const spoke = new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    done.then(() => resolve(), reject);
  });
  spoke.catch(() => undefined);
  return { spoke, output: done, soFar: () => out, endInput: (text = '') => child.stdin.end(text) };
}

/** A command that failed. */
export class CommandError extends Error {
  readonly code: number | null;
  /** What it had printed, and what it said. */
  readonly stdout: string;
  readonly stderr: string;

  constructor(command: string, code: number | null, stdout: string, stderr: string) {
    super(`${command}: ${stderr.trim() || stdout.trim().slice(-2000) || `exit code ${String(code)}`}`);
    this.code = code;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

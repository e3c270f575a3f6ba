import { execFile, spawn } from 'node:child_process';

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
    return [
      ...(this.#kubeconfig === undefined ? [] : ['--kubeconfig', this.#kubeconfig]),
      '--context',
      this.name,
    ];
  }

  /** Runs kubectl and returns what it prints. @throws Error with what it said */
  kubectl(...args: string[]): Promise<string> {
    return output('kubectl', [...this.flags, ...args]);
  }

  /** Applies YAML or JSON text. */
  async apply(text: string): Promise<void> {
    await output('kubectl', [...this.flags, 'apply', '-f', '-'], text);
  }

  async json<T>(...args: string[]): Promise<T | undefined> {
    const text = await this.kubectl('get', ...args, '--ignore-not-found', '-o', 'json');
    return text.trim() === '' ? undefined : (JSON.parse(text) as T);
  }
}

/** Output of a command, with optional standard input. @throws Error with its error output */
export function output(command: string, args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child =
      input === undefined ? execFile(command, args, { maxBuffer: 64 << 20 }) : spawn(command, args);
    let out = '';
    let err = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(out);
      else reject(new Error(`${command} ${args.join(' ')}: ${err.trim() || `exit code ${String(code)}`}`));
    });
    if (input !== undefined) child.stdin?.end(input);
  });
}

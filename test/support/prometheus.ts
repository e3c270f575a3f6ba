import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { machineProgram } from '../testbed/binaries/machine.ts';
import { RULES_FILE } from './chart-rules.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';

/** A process that is scraped: its port, and the labels that it is known by. */
export interface Scraped {
  readonly port: number;
  readonly component: string;
  readonly pod: string;
}

/** A series of an answer, with its value now. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [at: number, value: string];
}

/** An exemplar of a series. */
export interface FoundExemplar {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: string;
  /** Seconds since the epoch. */
  readonly timestamp: number;
}

/** How often it scrapes and evaluates. */
const INTERVAL = '1s';

/** A real Prometheus with the chart's rules, which fire at once. */
export class Prometheus {
  readonly #child: ChildProcess;
  readonly #url: string;
  #log = '';

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.#url = `http://127.0.0.1:${port}`;
    child.stderr?.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
  }

  /**
   * @param dir a folder of its own
   * @param namespace what its targets are labelled with
   * @param features what is not on by itself (`--enable-feature`)
   */
  static async start(
    dir: string,
    namespace: string,
    scraped: readonly Scraped[],
    features: readonly string[] = [],
  ): Promise<Prometheus> {
    const port = await freePort();
    const rules = path.join(dir, 'rules.yaml');
    writeFileSync(rules, readFileSync(RULES_FILE, 'utf8').replaceAll(/^( +for:) \S+$/gm, '$1 0s'));
    const config = {
      global: { scrape_interval: INTERVAL, scrape_timeout: INTERVAL, evaluation_interval: INTERVAL },
      rule_files: [rules],
      scrape_configs: [
        {
          job_name: 'linkspan',
          static_configs: scraped.map(({ port: at, ...labels }) => ({
            targets: [`127.0.0.1:${at}`],
            labels: { namespace, ...labels },
          })),
        },
      ],
    };
    const file = path.join(dir, 'prometheus.yaml');
    writeFileSync(file, stringify(config));
    const child = spawn(machineProgram('prometheus'), [
      `--config.file=${file}`,
      `--storage.tsdb.path=${path.join(dir, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      ...(features.length === 0 ? [] : [`--enable-feature=${features.join(',')}`]),
    ]);
    const started = new Prometheus(child, port);
    await eventually('Prometheus is ready', async () => {
      if (child.exitCode !== null) throw new Error(`it ended before: ${started.#log}`);
      return (await fetch(`${started.#url}/-/ready`)).ok;
    });
    return started;
  }

  get url(): string {
    return this.#url;
  }

  /**
   * What an expression gives, numbers only: 0/0 is none.
   * @param at seconds since the epoch; default now
   * @throws Error with what Prometheus says is wrong with it
   */
  async query(expr: string, at?: number): Promise<Sample[]> {
    const body = new URLSearchParams({ query: expr, ...(at === undefined ? {} : { time: String(at) }) });
    const response = await fetch(`${this.#url}/api/v1/query`, { method: 'POST', body });
    const answer = (await response.json()) as {
      readonly error?: string;
      readonly data?: { readonly resultType: string; readonly result: readonly Sample[] };
    };
    if (answer.data?.resultType !== 'vector') throw new Error(`${expr}: ${answer.error ?? 'no vector'}`);
    return answer.data.result.filter(({ value: [, value] }) => value !== 'NaN');
  }

  /** The exemplars of the last hour. @param query a selector */
  async exemplars(query: string): Promise<FoundExemplar[]> {
    const now = Date.now() / 1000;
    const body = new URLSearchParams({ query, start: String(now - 3600), end: String(now + 60) });
    const response = await fetch(`${this.#url}/api/v1/query_exemplars`, { method: 'POST', body });
    const { data = [] } = (await response.json()) as {
      readonly data?: readonly { readonly exemplars: readonly FoundExemplar[] }[];
    };
    return data.flatMap((series) => series.exemplars);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
  }
}

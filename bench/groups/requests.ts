import { execFile } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { EgressProcess } from '../../test/support/egress-process.ts';
import type { Runtime } from '../../test/support/runtime-process.ts';
import { threadSeconds } from '../cpu-seconds.ts';
import { median } from '../ratios.ts';
import * as here from './stage.ts';
import { type Clusters, type Kind, pin, type Protocol, serviceOf } from './stage.ts';

const LOADS: Readonly<Record<Protocol, readonly string[]>> = {
  http1: ['--h1', '-c', '40'],
  http2: ['-c', '10', '-m', '20'],
};
/** Rounds of a batch that warm up and do not count. */
const WARM_UP = 2;

const run = promisify(execFile);

/** A checkout whose egress is measured. */
export interface Tree {
  readonly name: 'here' | 'there';
  /** How its egress is started. */
  readonly stage: Pick<typeof here, 'startEgress'>;
  /** What its egress loads first. */
  readonly first: string;
}

/** This checkout. */
export const HERE: Tree = {
  name: 'here',
  stage: here,
  first: path.join(import.meta.dirname, 'egress-first.ts'),
};

/** Another one, with its `node_modules`. */
export async function treeAt(dir: string): Promise<Tree> {
  const groups = path.resolve(dir, 'bench/groups');
  const stage = (await import(pathToFileURL(path.join(groups, 'stage.ts')).href)) as typeof here;
  return { name: 'there', stage, first: path.join(groups, 'egress-first.ts') };
}

export interface Load {
  readonly runtime: Runtime;
  readonly protocol: Protocol;
  readonly kinds: readonly Kind[];
  readonly trees: readonly Tree[];
  readonly rounds: number;
  /** Of one turn. */
  readonly seconds: number;
}

/** Something whose requests cost something: a kind of Service at the egress of a tree. */
export type Subject = `${Kind} ${Tree['name']}`;

/** µs of the egress' CPU for each request, of each subject by the round. */
export type Batch = ReadonlyMap<Subject, readonly number[]>;

/**
 * One batch, with processes of its own: one process of a program may be a tenth faster than the next for
 * good. In each round, all subjects are loaded in turns: what the machine does in a second hits all of them.
 */
export async function oneBatch(dir: string, clusters: Clusters, load: Load): Promise<Batch> {
  const { runtime, protocol, kinds, trees, rounds, seconds } = load;
  const members = { alone: undefined, together: clusters.oneGateway, apart: clusters.gateways };
  const services = kinds.map((kind) => ({
    name: serviceOf(kind, protocol),
    ...(members[kind] === undefined ? {} : { members: members[kind] }),
  }));
  const turns: { readonly subject: Subject; readonly egress: EgressProcess; readonly kind: Kind }[] = [];
  const started: EgressProcess[] = [];
  try {
    for (const { name, stage, first } of trees) {
      const own = path.join(dir, `egress-${name}`);
      const egress = await stage.startEgress(runtime, own, clusters, services, first);
      started.push(egress);
      pin(egress.pid, 0);
      for (const kind of kinds) turns.push({ subject: `${kind} ${name}`, egress, kind });
    }
    const found = new Map<Subject, number[]>(turns.map(({ subject }) => [subject, []]));
    for (let round = -WARM_UP; round < rounds; round++) {
      // Not always in the same order: whoever is first may have it better.
      for (const { subject, egress, kind } of round % 2 === 0 ? turns : turns.toReversed()) {
        const micros = await cost(egress, serviceOf(kind, protocol), LOADS[protocol], seconds);
        if (round < 0) continue;
        if (!Number.isFinite(micros)) throw new Error(`${subject}: nothing was served in a turn`);
        found.get(subject)?.push(micros);
      }
    }
    return found;
  } finally {
    for (const egress of started) await egress.kill();
  }
}

/** The median of the rounds' ratios. */
export function ratioOf(batch: Batch, subject: Subject, to: Subject): number {
  const others = batch.get(to) ?? [];
  return median((batch.get(subject) ?? []).map((micros, round) => micros / (others[round] ?? NaN)));
}

/** @returns µs of the egress' CPU for each request; infinite where none was served */
async function cost(
  egress: EgressProcess,
  name: string,
  load: readonly string[],
  seconds: number,
): Promise<number> {
  const before = threadSeconds(egress.pid);
  const url = `http://127.0.0.1:${egress.client.portOf(name)}/hello`;
  const { stdout: said } = await run('h2load', ['-t1', '-D', `${seconds * 1000}ms`, ...load, url]);
  const status = /^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/m.exec(said);
  const [served = 0, ...others] = (status ?? []).slice(1).map(Number);
  if (others.some((count) => count > 0)) throw new Error(`not all were served: ${said}`);
  return ((threadSeconds(egress.pid) - before) * 1e6) / served;
}

import path from 'node:path';
import type { GroupRow } from '../../src/cli/queries/failover-rows.ts';
import { FAILOVER_POLICY } from '../../src/api/failover/failover-names.ts';
import { type Context, output } from './clusters.ts';
import type { SeenSoFar } from './open-loop.ts';
import { DEPLOYMENTS } from './pods.ts';
import type { Stream } from './programs/open-loop.mts';
import type { Run } from './session.ts';

export interface FailoverRun extends Run {
  /** The clusters that serve; the source has clients and egress only. */
  readonly targets: readonly Context[];
  /** Requests per second. */
  readonly rps: number;
  /** Pods of a whole member. */
  readonly replicas: number;
  /** Folder with the scripts `wan.sh` and `svc.sh`, by which clusters are cut off; undefined: none. */
  readonly testbed: string | undefined;
  /** Folder with CustomResourceDefinitions of splits and routes, as their projects publish them. */
  readonly crds: string | undefined;
  /** The program of Flagger, and its CustomResourceDefinitions in that folder; undefined: it is left out. */
  readonly flagger: string | undefined;
}

/** The federated Service that the clients ask. */
export const SERVICE = 'member-federated';
/** Short times, so that a run waits for no cluster that is back. */
export const SHORT_POLICY = 'delay=1s max-delay=1s ramp=1s';
const PATIENCE_MS = 180_000;
/** How long a fault lasts, milliseconds: longer than it takes to be found by whatever finds it. */
export const FAULT_MS = 15_000;

/** What cannot be sent twice may be lost with the connection that it is on. */
export const notIdempotent = ({ isIdempotent }: Stream) => !isIdempotent;
/** A raw connection ends with whoever carries it. */
export const keptRaw = ({ protocol }: Stream) => protocol === 'raw kept';

type Backend = GroupRow['backends'][number];

/** Two clusters that serve, and what is done with them. */
export interface Scene {
  readonly run: FailoverRun;
  readonly west: Context;
  readonly north: Context;
  /** Names of both, sorted. */
  readonly both: readonly string[];
  readonly load: { readonly service: string; readonly rps: number };
  /** Waits until these have answered the last requests, and nobody else. */
  readonly isAnswered: (seen: SeenSoFar, ...by: readonly string[]) => Promise<void>;
  /** What `linkspan failover` says of a cluster. */
  readonly backend: (cluster: Context) => Promise<Backend>;
  /** Sets the policy of the Service. */
  readonly setPolicy: (text: string) => Promise<void>;
}

export function openScene(run: FailoverRun): Scene {
  const [west, north] = run.targets;
  if (west === undefined || north === undefined) throw new Error('give three clusters');
  const { source, namespace } = run;
  return {
    run,
    west,
    north,
    both: [west.name, north.name].sort(),
    load: { service: SERVICE, rps: run.rps },
    isAnswered: (seen, ...by) =>
      run.until(async () => (await seen.answering()).join() === by.join(), PATIENCE_MS),
    backend: async ({ name }) => {
      const text = await run.linkspan('failover', '-n', namespace, '-o', 'json', ...source.flags);
      const groups = JSON.parse(text) as GroupRow[];
      const found = groups.flatMap(({ backends }) => backends).find((backend) => backend.name === name);
      if (found === undefined) throw new Error(`linkspan failover names no ${name}`);
      return found;
    },
    setPolicy: async (text) => {
      const policy = `${FAILOVER_POLICY}=${text}`;
      await source.kubectl('-n', namespace, 'annotate', '--overwrite', 'service', SERVICE, policy);
    },
  };
}

/** Resolves when all its pods run, or are gone. */
export async function scaleGateway(run: FailoverRun, cluster: Context, replicas: number): Promise<void> {
  const deployment = `deployment/${DEPLOYMENTS.gateway}`;
  await cluster.kubectl('-n', run.system, 'scale', deployment, `--replicas=${replicas}`);
  await run.rolledOut(cluster, run.system, DEPLOYMENTS.gateway);
}

/** Waits until an Event of this reason has been written about something in the source's workloads. */
export async function hasEvent({ until, source, namespace }: Run, reason: string): Promise<void> {
  const selector = `--field-selector=reason=${reason}`;
  await until(
    async () => (await source.kubectl('-n', namespace, 'get', 'events', selector, '-o', 'name')) !== '',
  );
}

/** Runs a script of the testbed. @throws Error where there is none, or with what it said */
export async function testbedScript(
  { testbed }: FailoverRun,
  name: string,
  ...args: string[]
): Promise<string> {
  if (testbed === undefined) throw new Error('without --testbed no cluster is cut off');
  return output(path.join(testbed, name), args);
}

export function pause(ms = FAULT_MS): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** In words: who answered how many. */
export function countsOf(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ') || 'nobody';
}

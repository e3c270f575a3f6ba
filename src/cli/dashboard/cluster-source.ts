import { systemClock } from '../../base/clock.ts';
import type { ClusterFacts } from '../../dashboard/cluster-facts.ts';
import type { ClusterSource } from '../../dashboard/context-poller.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { within } from '../flags/cluster-flags.ts';
import { type Read, TrafficReader } from '../traffic/traffic-reader.ts';
import { readSurroundings } from '../traffic/traffic-surroundings.ts';
import { PacedSurroundings } from './paced-surroundings.ts';
import { RecentReader } from './recent-reader.ts';

/** What the page shows: everything. */
const WANTED = {
  services: true,
  links: true,
  pods: true,
  usage: true,
  silent: true,
  namespace: undefined,
} as const;

/** Numbers do not wait for what stands around them, which may be a lot; milliseconds. */
const AROUND_MS = 60_000;

/** A cluster that the dashboard asks. */
export interface OpenSource extends ClusterSource {
  readonly client: KubeClient;
}

/** @param timeoutMs of one round of questions */
export function clusterSource(
  cluster: { readonly context: string; readonly client: KubeClient; readonly namespace: string },
  { windowMs, timeoutMs }: { readonly windowMs: number; readonly timeoutMs: number },
): OpenSource {
  const { context, client, namespace } = cluster;
  const asked = { name: context, client, namespace };
  const around = new PacedSurroundings(() => readSurroundings(asked, WANTED, AROUND_MS), systemClock);
  const surroundings = () => around.get();
  const options = { clock: systemClock, windowMs, timeoutMs, wanted: WANTED, surroundings };
  const reader = new TrafficReader(asked, options);
  const recent = new RecentReader(asked, systemClock);
  return {
    ...cluster,
    read: async () => {
      const [read, points] = await within(
        timeoutMs,
        client.server,
        Promise.all([reader.read(), recent.read()]),
      );
      return factsOf(read, points);
    },
    close: () => client.close(),
  };
}

function factsOf({ reading, unread, around }: Read, recent: ClusterFacts['recent']): ClusterFacts {
  const { linkRows, controllersSilent } = around;
  return {
    reading,
    links: linkRows,
    unread,
    controller: controllerState(reading, controllersSilent),
    recent,
  };
}

function controllerState(
  { processes, links }: ClusterFacts['reading'],
  silent: string | undefined,
): ClusterFacts['controller'] {
  if (silent === undefined) return 'ok';
  if (silent !== 'CONTROLLER_NOT_FOUND') return 'unknown';
  if (!processes.some(({ kind }) => kind === 'controller')) return 'absent';
  // Without a Link there is nothing that one of them could hold.
  return links.length === 0 ? 'ok' : 'silent';
}

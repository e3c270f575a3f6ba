import type { V1Secret } from '@kubernetes/client-node';
import { parse, stringify } from 'yaml';
import type { LinkReason } from '../../src/api/link/link-status.ts';
import type { MirrorReason } from '../../src/api/reasons/mirror-reasons.ts';
import type { EdgeRow } from '../../src/traffic/edge-rows.ts';
import type { StatRow } from '../../src/traffic/stat-row.ts';
import type { Running } from './clusters.ts';
import { LOAD_WORKERS } from './load.ts';
import {
  bothClusters,
  type IsWanted,
  type ObserverName,
  type Observers,
  startObservers,
  VerbObserver,
} from './observers.ts';
import { DEPLOYMENTS, killPods, podsWith } from './pods.ts';
import type { Run } from './session.ts';

const MIRROR = 'web-target';
const URL = `http://${MIRROR}/`;
/** What is promised from a fault to the row that names it, and what is an error here, milliseconds. */
const PROMISED_MS = 3000;
const LATEST_MS = 15_000;
/** Probes and backoffs are slower than faults. */
const RECOVERY_MS = 120_000;

/** Something that goes wrong, and who names it how. */
interface Fault {
  readonly what: string;
  readonly begin: () => Promise<unknown>;
  readonly end: () => Promise<unknown>;
  readonly named: Readonly<Partial<Record<ObserverName, IsWanted>>>;
  /** While it stands, after all have named it. */
  readonly meanwhile?: () => Promise<unknown>;
}

/** Those who look, and a client that asks without pause. */
interface Scene {
  readonly observers: Observers;
  readonly load: Running;
}

/**
 * What people with nothing but a kubeconfig see: ordinary traffic at both ends, and each fault with its
 * reason, from the verbs and the page's server that have looked since before it.
 */
export async function checkObserved(run: Run): Promise<void> {
  let opened: Promise<Scene> | undefined;
  const scene = () => (opened ??= openScene(run));
  try {
    await run.check('seen: both ends of a mirror under ordinary traffic, by `stat`, `edges` and `tap`', () =>
      seeTraffic(run, scene),
    );
    for (const fault of faults(run))
      await run.check(`seen: ${fault.what}`, async () => see(run, await scene(), fault));
  } finally {
    if (opened !== undefined) await opened.then(closeScene, () => undefined);
  }
}

async function openScene({ source, namespace, ...run }: Run): Promise<Scene> {
  const command = ['exec', '-i', 'client', '--', 'node', '/programs/load.mts', URL, String(LOAD_WORKERS)];
  const load = source.start('-n', namespace, ...command);
  await load.spoke;
  try {
    return { observers: await startObservers({ source, namespace, ...run }), load };
  } catch (error) {
    load.endInput();
    throw error;
  }
}

async function closeScene({ observers, load }: Scene): Promise<void> {
  load.endInput();
  await Promise.all([...Object.values(observers).map((one) => one.stop()), load.output]);
}

/** Both ends, in the row of a mirror, as edges, and of a single request. */
async function seeTraffic(run: Run, scene: () => Promise<Scene>): Promise<string> {
  const { namespace, linkspan, until, curl } = run;
  await scene();
  const flags = ['-n', namespace, '-o', 'json', '-t', '10s', ...bothClusters(run)];
  let ends: StatRow['ends'];
  await until(async () => {
    const rows = JSON.parse(await linkspan('stat', 'mirror', ...flags)) as StatRow[];
    const row = rows.find(({ name }) => name === MIRROR);
    if (row === undefined) throw new Error('`stat mirror` has no such row');
    if (row.failing) throw new Error(`it fails: ${row.reason}: ${row.message}`);
    ({ ends } = row);
    return (row.rps ?? 0) > 0 && (ends?.egress_ms_p99 ?? null) !== null && ends?.gateway_ms_p99 !== null;
  });
  let edges: EdgeRow[] = [];
  await until(async () => {
    edges = JSON.parse(await linkspan('edges', ...flags)) as EdgeRow[];
    const has = (via: EdgeRow['via'], dst: string) =>
      edges.some((one) => one.via === via && one.dst === dst && one.secured.includes('mTLS'));
    return has('egress', MIRROR) && has('gateway', 'web');
  });
  const client = edges.find(({ via, dst }) => via === 'egress' && dst === MIRROR);
  const path = '/e2e-seen';
  const tap = new VerbObserver(run, 'tap', '-n', namespace, '--path', path, '-o', 'json');
  try {
    await until(async () => {
      await curl(`${URL}${path.slice(1)}`);
      return ['egress', 'gateway'].every(
        (process) => tap.firstSince(0, (row) => row.process === process && row.path === path) !== undefined,
      );
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; the tap says ${tap.last}`);
    });
  } finally {
    await tap.stop();
  }
  const p99 = `p99 ${ends?.egress_ms_p99 ?? 0} ms at the egress, ${ends?.gateway_ms_p99 ?? 0} ms at the gateway`;
  return `${p99}; ${client?.src ?? ''} ${client?.secured ?? ''}; tapped at both`;
}

/** Makes it, waits until all who should have named it, and takes it away again. */
async function see({ until, curl }: Run, { observers }: Scene, fault: Fault): Promise<string> {
  const named = Object.entries(fault.named) as [ObserverName, IsWanted][];
  // Of flows each is told once, so that nothing stays.
  const lasting = named.filter(([who]) => who !== 'tap');
  const isQuiet = () => Promise.resolve(lasting.every(([who, wanted]) => observers[who].isQuiet(wanted)));
  await until(isQuiet);
  const since = performance.now();
  const words: string[] = [];
  try {
    await fault.begin();
    const missing = () =>
      named.filter(([who, wanted]) => observers[who].firstSince(since, wanted) === undefined);
    const left = since + LATEST_MS - performance.now();
    await until(() => Promise.resolve(missing().length === 0), left).catch((error: unknown) => {
      const silent = missing().map(([who]) => `${who} says ${observers[who].last}`);
      throw new Error(`not named after ${LATEST_MS / 1000} s: ${silent.join('; ')}`, { cause: error });
    });
    for (const [who, wanted] of named) {
      const seen = observers[who].firstSince(since, wanted);
      const tookMs = (seen?.at ?? 0) - since;
      const late = tookMs > PROMISED_MS ? ', LATE' : '';
      words.push(
        `${who} ${(tookMs / 1000).toFixed(1)} s (${seen?.row.failure ?? seen?.row.reason ?? ''}${late})`,
      );
    }
    await fault.meanwhile?.();
  } finally {
    await fault.end();
    await until(async () => (await curl(URL)) !== '' && (await isQuiet()), RECOVERY_MS);
  }
  return words.join(', ');
}

function faults(run: Run): Fault[] {
  const { source, target, system, namespace, rolledOut, curl } = run;
  const link = ['-n', system, 'patch', 'links.multicluster.linkerd.io', 'target', '--type=merge', '-p'];
  const patchIdentity = (gatewayIdentity: string) =>
    source.kubectl(...link, JSON.stringify({ spec: { gatewayIdentity } }));
  let identity = '';
  return [
    {
      what: 'the gateway is gone',
      begin: async () => {
        const pods = await podsWith(run, target, 'gateway');
        await target.kubectl('-n', system, 'scale', `deployment/${DEPLOYMENTS.gateway}`, '--replicas=0');
        await killPods(run, target, pods);
      },
      end: async () => {
        await target.kubectl('-n', system, 'scale', `deployment/${DEPLOYMENTS.gateway}`, '--replicas=1');
        await rolledOut(target, system, DEPLOYMENTS.gateway);
      },
      named: { ...gatewayNamed('EgressCannotReach', 'ProbesFailed'), ...requestsNamed },
    },
    {
      what: 'the Service has no endpoints any more',
      begin: () => target.kubectl('-n', namespace, 'scale', 'deployment/web', '--replicas=0'),
      end: async () => {
        await target.kubectl('-n', namespace, 'scale', 'deployment/web', '--replicas=2');
        await rolledOut(target, namespace, 'web');
      },
      named: { stat: noEndpoints('web', MIRROR), page: noEndpoints('web', MIRROR) },
    },
    {
      what: "the target's API server cannot be reached, while requests go on",
      ...withKubeconfig(run, ({ clusters }) => {
        // A port that no API server is at.
        for (const one of clusters) one.cluster.server = one.cluster.server.replace(/:\d+$|$/, ':1');
      }),
      named: linkNamed('Unreachable'),
      meanwhile: () => curl(URL),
    },
    {
      what: 'the target does not accept the token, while requests go on',
      ...withKubeconfig(run, ({ users }) => {
        for (const { user } of users) user.token = `${(user.token ?? '').slice(0, -8)}AAAAAAAA`;
      }),
      named: linkNamed('CredentialsRejected', 'Forbidden'),
      meanwhile: () => curl(URL),
    },
    {
      what: 'the certificate of the gateway is not that of the Link',
      begin: async () => {
        const jsonpath = 'jsonpath={.spec.gatewayIdentity}';
        identity = await source.kubectl('-n', system, 'get', 'link', 'target', '-o', jsonpath);
        await patchIdentity(`other-${identity}`);
      },
      end: () => patchIdentity(identity),
      named: { ...gatewayNamed('EgressCannotReach', 'ProbesFailed'), ...requestsNamed },
    },
  ];
}

/** Client configuration, as far as it is spoilt here. */
interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: { server: string } }[];
  readonly users: readonly { readonly user: { token?: string } }[];
}

/** The Link's credentials are others, and then again what they were. */
function withKubeconfig(
  { source, system }: Run,
  spoil: (config: Kubeconfig) => void,
): Pick<Fault, 'begin' | 'end'> {
  const secret = 'cluster-credentials-target';
  let kept: string | undefined;
  const write = (kubeconfig: string) => {
    const patch = JSON.stringify({ data: { kubeconfig } });
    return source.kubectl('-n', system, 'patch', 'secret', secret, '--type=merge', '-p', patch);
  };
  return {
    begin: async () => {
      kept = (await source.json<V1Secret>('-n', system, 'secret', secret))?.data?.['kubeconfig'];
      if (kept === undefined) throw new Error(`${secret} has no kubeconfig`);
      const config = parse(Buffer.from(kept, 'base64').toString()) as Kubeconfig;
      spoil(config);
      await write(Buffer.from(stringify(config)).toString('base64'));
    },
    end: async () => {
      if (kept !== undefined) await write(kept);
    },
  };
}

function linkNamed(...reasons: readonly LinkReason[]): Fault['named'] {
  const is: IsWanted = ({ kind, name, reason }) =>
    kind === 'link' && name === 'target' && reasons.some((one) => one === reason);
  return { stat: is, page: is };
}

function gatewayNamed(...reasons: readonly LinkReason[]): Fault['named'] {
  return {
    ...linkNamed(...reasons),
    page: ({ kind, to, reason }) =>
      kind === 'gateway' && to === 'target' && reasons.some((one) => one === reason),
  };
}

/** Requests that fail at the egress. */
const requestsNamed: Fault['named'] = {
  edges: ({ via, dst, reason }) => via === 'egress' && dst === MIRROR && reason !== '',
  tap: ({ process, target, failure }) =>
    process === 'egress' && target?.mirror === MIRROR && failure !== undefined,
};

function noEndpoints(...names: readonly string[]): IsWanted {
  const none: MirrorReason = 'NoReadyEndpoints';
  return ({ name, reason }) => reason === none && names.some((one) => name === one);
}

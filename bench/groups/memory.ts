import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { eventually } from '../../test/support/eventually.ts';
import { type Clusters, CLUSTERS, startEgress } from './stage.ts';

/** Services of the measurement of memory: no more than ports are given to one process of tests. */
export const QUIET = Array.from({ length: 200 }, (_, nth) => `s${nth}.demo.svc.cluster.local`);
const LIVE = path.join(import.meta.dirname, 'egress-live.ts');

/** What an egress has, whose live bytes are counted. */
interface Kept {
  readonly services: number;
  /** Of three clusters each, or of one. */
  readonly grouped: boolean;
  /** Whether HTTP/1 was spoken to each Service. */
  readonly spoken: boolean;
}

/** KiB that live in an egress on Node. */
export interface Memory {
  /** For each Service of one cluster. */
  readonly alone: number;
  /** For each Service of three clusters. */
  readonly grouped: number;
  /** For each cluster more. */
  readonly more: number;
}

/**
 * What each Service takes. Of two numbers of Services, so that what is there once (code, connections to
 * gateways) does not count.
 */
export async function memory(dir: string, clusters: Clusters, spoken: boolean): Promise<Memory> {
  const [few, many] = [QUIET.length / 4, QUIET.length];
  const cost = async (grouped: boolean) => {
    const bytes = async (services: number) => liveBytes(dir, clusters, { services, grouped, spoken });
    return ((await bytes(many)) - (await bytes(few))) / (many - few) / 1024;
  };
  const [alone, grouped] = [await cost(false), await cost(true)];
  return { alone, grouped, more: (grouped - alone) / (CLUSTERS.length - 1) };
}

/** @returns bytes that live in such an egress */
async function liveBytes(
  dir: string,
  clusters: Clusters,
  { services, grouped, spoken }: Kept,
): Promise<number> {
  const names = QUIET.slice(0, services);
  const relayed = names.map((name, nth) => ({
    name,
    ...(grouped ? { members: clusters.gateways, federated: `s${nth}-federated` } : {}),
  }));
  const own = path.join(dir, `memory-${services}-${grouped}-${spoken}`);
  const egress = await startEgress('node', own, clusters, relayed, LIVE);
  try {
    // As many requests however many Services there are: what is compiled is the same then.
    for (const nth of spoken ? QUIET.keys() : []) {
      const name = names[nth % services] ?? '';
      await ask(egress.client.portOf(name), name);
    }
    egress.signal('SIGUSR2');
    const bytes = () => /^\{"liveBytes":(\d+)\}$/m.exec(egress.log)?.[1];
    return Number(await eventually('the egress says how much lives', bytes));
  } finally {
    await egress.kill();
  }
}

/** One request, on a connection of its own, which is closed when this resolves. */
async function ask(port: number, host: string): Promise<void> {
  const asked = http.get({ host: '127.0.0.1', port, path: '/hello', agent: false, headers: { host } });
  const [answer] = (await once(asked, 'response')) as [http.IncomingMessage];
  answer.resume();
  await once(answer, 'close');
  if (answer.statusCode !== 200) throw new Error(`${host} answered ${answer.statusCode}`);
}

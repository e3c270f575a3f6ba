import { Command } from 'commander';
import { z } from 'zod';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { nearest, parseFlags } from '../../base/config.ts';
import { clientRows } from '../../traffic/client-rows.ts';
import type { ClusterReading } from '../../traffic/cluster-reading.ts';
import { clusterRows, linkRows } from '../../traffic/link-traffic-rows.ts';
import { processRows } from '../../traffic/process-rows.ts';
import { mirrorRows, namespaceRows, serviceRows } from '../../traffic/service-rows.ts';
import { STAT_KINDS, type StatKind, type StatRow } from '../../traffic/stat-row.ts';
import { statName, statText } from '../output/stat-text.ts';
import { showTraffic } from '../traffic/show-traffic.ts';
import { trafficFlags, withTrafficFlags } from '../traffic/view-flags.ts';

/** Other words for kinds, as kubectl takes them. */
const ALIASES: Readonly<Record<string, StatKind>> = {
  service: 'svc',
  services: 'svc',
  mirrors: 'mirror',
  namespace: 'ns',
  namespaces: 'ns',
  links: 'link',
  gateways: 'gateway',
  clients: 'client',
  clusters: 'cluster',
};

const ROWS: Readonly<Record<StatKind, (readings: readonly ClusterReading[]) => StatRow[]>> = {
  svc: serviceRows,
  mirror: mirrorRows,
  ns: namespaceRows,
  link: linkRows,
  gateway: (readings) => processRows(readings, 'gateway'),
  egress: (readings) => processRows(readings, 'egress'),
  client: clientRows,
  cluster: clusterRows,
};

const schema = z.strictObject({ ...trafficFlags, what: z.array(z.string()) });

/** What one argument asks for. */
interface Asked {
  readonly kind: StatKind;
  /** Undefined: all of them. */
  readonly name: string | undefined;
}

/** `linkspan stat`: success, rate and latency of what crosses clusters, what fails first. */
export function statCommand(): Command {
  const command = new Command('stat')
    .description('show success, rate and latency of what crosses clusters, what fails first')
    .argument('[what...]', `KIND or KIND/NAME: ${STAT_KINDS.join(', ')} (default: svc)`);
  return withTrafficFlags(command).action(async (what: readonly string[], options: object) => {
    const flags = parseFlags(schema, { ...options, what }, 'stat');
    const asked =
      flags.what.length === 0 ? [{ kind: 'svc', name: undefined } as const] : flags.what.map(readAsked);
    const kinds = [...new Set(asked.map(({ kind }) => kind))];
    const has = (...some: readonly StatKind[]) => kinds.some((kind) => some.includes(kind));
    await showTraffic(flags, {
      wanted: {
        services: has('svc', 'mirror', 'ns', 'cluster'),
        links: has('link', 'cluster'),
        pods: has('client'),
        usage: has('gateway', 'egress'),
        silent: has('gateway', 'egress', 'link', 'cluster'),
      },
      rows: (readings) =>
        kinds.flatMap((kind) => ROWS[kind](readings)).filter((row) => asked.some((one) => isAsked(one, row))),
      nameOf: statName,
      missing: (rows) =>
        asked
          .filter((one) => one.name !== undefined && !rows.some((row) => isAsked(one, row)))
          .map(({ kind, name }) => `there is no ${kind}/${name}`),
      namespaceOf: namespacesOf,
      text: (rows, how) => statText(kinds, rows, { ...how, windowMs: flags.window }),
    });
  });
}

/** What `-n` is compared with; undefined: it is of no namespace, and always shown. */
function namespacesOf({ kind, namespace, name }: StatRow): readonly string[] | undefined {
  if (kind === 'ns') return [name];
  return kind === 'svc' || kind === 'mirror' || kind === 'client' ? [namespace] : undefined;
}

function isAsked({ kind, name }: Asked, row: StatRow): boolean {
  return (
    kind === row.kind &&
    (name === undefined || name === row.name || (name === row.cluster && kind === 'cluster'))
  );
}

function readAsked(text: string): Asked {
  const slash = text.indexOf('/');
  const word = slash < 0 ? text : text.slice(0, slash);
  const kind = Object.hasOwn(ALIASES, word) ? ALIASES[word] : STAT_KINDS.find((one) => one === word);
  if (kind !== undefined) return { kind, name: slash < 0 ? undefined : text.slice(slash + 1) };
  const near = nearest(word, [...STAT_KINDS, ...Object.keys(ALIASES)]);
  throw new LinkspanError(
    'USAGE',
    `stat: there is no kind "${word}"${near === undefined ? '' : ` (did you mean "${near}"?)`}`,
    { hint: `Kinds are ${STAT_KINDS.join(', ')}, each with /NAME or without.` },
  );
}

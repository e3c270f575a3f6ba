import type { V1Service } from '@kubernetes/client-node';
import {
  EXPORT_MODES,
  exportLabel,
  type ExportMode,
  exportSelector,
  isExportedAs,
} from '../../api/exports/export-marks.ts';
import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { isNotFound, type KubeClient } from '../../kube/client/kube-client.ts';
import { services } from '../../api/kubernetes/resource.ts';
import { exportVerdict } from '../../controllers/mirror/export-verdict.ts';
import { clusterFlags, withClient, withClusterFlags } from '../flags/cluster-flags.ts';

const modeFlag = z.enum(EXPORT_MODES, { error: `must be ${EXPORT_MODES.join(', ')}` });
const schema = z.strictObject({ ...clusterFlags, namespace: z.string(), mode: modeFlag });
const unexportSchema = z.strictObject({ ...clusterFlags, namespace: z.string(), mode: modeFlag.optional() });

function exportFlags(command: Command): Command {
  return withClusterFlags(command, 'target cluster').option(
    '-n, --namespace <ns>',
    'namespace of the Services',
    'default',
  );
}

/** `linkspan export`: labels Services of this cluster for mirroring elsewhere. */
export function exportCommand(): Command {
  return exportFlags(
    new Command('export')
      .description('export Services of this (target) cluster to those that are linked to it')
      .argument('<service...>', 'names of Services'),
  )
    .option(
      '--mode <mode>',
      'gateway: through the gateway; flat: pod to pod; federated: as a member of <service>-federated',
      'gateway',
    )
    .action(async (names: string[], options: unknown) => {
      const flags = parseFlags(schema, options, 'export');
      await withClient(flags, async (client) => {
        const found = await findServices(client, flags.namespace, names);
        const warnings = accepted(found, flags.mode);
        await label(client, found, (service) => labelsFor(service, flags.mode));
        for (const warning of warnings) process.stderr.write(`linkspan: ${warning}\n`);
        for (const service of found) process.stdout.write(exportedLine(service, flags.mode));
      });
    });
}

/** `linkspan unexport`: takes the labels away again. */
export function unexportCommand(): Command {
  return exportFlags(
    new Command('unexport')
      .description('stop exporting Services of this (target) cluster: their mirrors go')
      .argument('<service...>', 'names of Services'),
  )
    .option('--mode <mode>', 'gateway, flat or federated (default: all)')
    .action(async (names: string[], options: unknown) => {
      const flags = parseFlags(unexportSchema, options, 'unexport');
      const modes = flags.mode === undefined ? EXPORT_MODES : [flags.mode];
      await withClient(flags, async (client) => {
        const found = await findServices(client, flags.namespace, names);
        const wanted = (service: V1Service) => modes.filter((mode) => isExportedAs(service, mode));
        await label(client, found, (service) =>
          Object.fromEntries(wanted(service).map((mode) => [exportLabel(mode).key, null])),
        );
        for (const service of found) {
          const was = wanted(service).length > 0;
          process.stdout.write(
            `Service ${keyText(service)} ${was ? 'is no longer exported' : 'was not exported'}\n`,
          );
        }
      });
    });
}

/** Reads all of them, or fails with every missing one, before anything is labelled. */
async function findServices(
  client: KubeClient,
  namespace: string,
  names: readonly string[],
): Promise<V1Service[]> {
  const found = await Promise.all(
    [...new Set(names)].map(async (name) => {
      try {
        return await client.get(services, { namespace, name });
      } catch (error) {
        if (isNotFound(error)) return name;
        throw error;
      }
    }),
  );
  const missing = found.filter((item) => typeof item === 'string');
  if (missing.length === 0) return found.filter((item) => typeof item !== 'string');
  throw new LinkspanError(
    'SERVICE_NOT_FOUND',
    `namespace ${namespace} has no Service ${missing.map((name) => `"${name}"`).join(', ')}`,
  );
}

/** Notes about the Services. @throws LinkspanError when some could never be mirrored */
function accepted(found: readonly V1Service[], mode: ExportMode): string[] {
  const verdicts = found.map((service) => ({ service, ...exportVerdict(service, mode) }));
  const refused = verdicts.flatMap(({ service, refusal }) =>
    refusal === undefined ? [] : [`${keyText(service)}: ${refusal}`],
  );
  if (refused.length > 0)
    throw new LinkspanError('NOT_EXPORTABLE', `cannot be mirrored: ${refused.join('; ')}`);
  return verdicts.flatMap(({ service, warnings }) =>
    warnings.map((warning) => `${keyText(service)}: ${warning}`),
  );
}

function labelsFor(service: V1Service, mode: ExportMode): Record<string, string> {
  if (isExportedAs(service, mode)) return {};
  const { key, value } = exportLabel(mode);
  return { [key]: value };
}

async function label(
  client: KubeClient,
  found: readonly V1Service[],
  labelsOf: (service: V1Service) => Record<string, string | null>,
): Promise<void> {
  for (const service of found) {
    const labels = labelsOf(service);
    if (Object.keys(labels).length === 0) continue;
    const { namespace = '', name = '' } = service.metadata ?? {};
    await client.patch(services, { namespace, name }, { metadata: { labels } }, { type: 'merge' });
  }
}

function exportedLine(service: V1Service, mode: ExportMode): string {
  const was = isExportedAs(service, mode) ? 'is exported already' : 'exported';
  return `Service ${keyText(service)} ${was} (${exportSelector(mode)})\n`;
}

function keyText({ metadata }: V1Service): string {
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
}

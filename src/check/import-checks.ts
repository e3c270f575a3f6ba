import type { V1Service } from '@kubernetes/client-node';
import { clusterOf } from '../api/mirror/mirror-labels.ts';
import { describeError } from '../api/errors/linkspan-error.ts';
import { memberName } from '../api/mirror/federated-members.ts';
import { DEFAULT_NAMESPACE, IMPORT_GATEWAYS, IMPORT_NAMESPACES } from '../api/names.ts';
import { keyOf } from '../api/kubernetes/resource.ts';
import { decideGateway, readNamedGateways } from '../linking/export-gateways.ts';
import { parseImportPolicy } from '../api/link/import-policy.ts';
import { parseLink, type LinkObject } from '../api/link/link-schema.ts';
import type { LinkReport } from '../api/answers/admin-answers.ts';
import { controlNamespaces, importRefusal, shortList } from '../controllers/imports/import-rules.ts';
import { isRefusedOrHeld } from '../api/reasons/mirror-reasons.ts';
import { isSteering } from '../controllers/imports/steering.ts';
import { type ClusterCheck, type CheckFinding, passed, shortened, skipped, passedUnless } from './check.ts';
import type { CheckFacts } from './check-facts.ts';
import { askTarget } from './asked-targets.ts';

/**
 * Checks of import policies (ADR 0027): what they refuse, and whether the source's address ranges are known.
 */
export function importChecks(facts: CheckFacts): ClusterCheck[] {
  return [
    {
      id: 'linkspan-imports',
      text: "Links' import policies take everything that targets export",
      severity: 'warning',
      run: async () =>
        (await facts.links()).length === 0
          ? skipped('no links detected')
          : refusedImports(await facts.reports()),
    },
    {
      id: 'linkspan-import-ranges',
      text: "this cluster's own address ranges are known",
      severity: 'warning',
      run: async () =>
        (await facts.links()).length === 0
          ? skipped('no links detected')
          : unknownRanges(await facts.reports()),
    },
    exportGateways(facts, 'linkspan-import-gateways'),
  ];
}

/**
 * Warnings of `check --pre` before an installation whose defaults are stricter than Linkerd's or an earlier
 * version's.
 */
export function importPreChecks(facts: CheckFacts): ClusterCheck[] {
  return [
    {
      id: 'linkspan-pre-imports',
      text: 'no mirror that is there would be refused, or lose labels or annotations',
      severity: 'warning',
      run: async () => mirrorsAtRisk(await facts.mirrors(), await facts.links(), facts),
    },
    exportGateways(facts, 'linkspan-pre-import-gateways'),
  ];
}

/** Which exports, and parts of them, are refused, and why. Pure. */
export function refusedImports(reports: readonly LinkReport[]): CheckFinding {
  const lines = reports.flatMap((report) =>
    refusalsOf(report).map(
      ({ service, reason, why }) => `* ${service} of ${report.cluster}: ${reason}: ${why}`,
    ),
  );
  return shortened(lines, 'linkspan mirrors');
}

/** One refusal by a Link's import policy: of a Service as a whole, or of a part of its mirror. */
export interface ImportRefusal {
  /** The exported Service in the target, `namespace/name`. */
  readonly service: string;
  readonly reason: string;
  readonly why: string;
}

/** The current refusals by a Link's import policy. Pure. */
export function refusalsOf({ mirrors = [], federated = [] }: LinkReport): ImportRefusal[] {
  return [...mirrors, ...federated].flatMap(({ service, reason, message, leftOut = [] }) =>
    isRefusedOrHeld(reason)
      ? [{ service, reason, why: message }]
      : leftOut.map((note) => ({ service, reason: note.reason, why: note.text })),
  );
}

/** Which address ranges of the source the controllers do not know. Pure. */
export function unknownRanges(reports: readonly LinkReport[]): CheckFinding {
  const unknown = [...new Set(reports.flatMap((report) => report.unknownRanges ?? []))].sort();
  if (unknown.length === 0) return passed;
  const lines = unknown.map((line) => `* ${line}`);
  const why =
    'addresses in them that a target names are not refused: set source.podCIDRs, source.serviceCIDRs and source.nodeCIDRs of the chart';
  return passedUnless([...lines, why], 'warning');
}

/** Exports of each target whose annotations name gateways that its Link does not allow. */
function exportGateways(facts: CheckFacts, id: string): ClusterCheck {
  return {
    id,
    text: 'gateways that exports name by annotation are allowed by their Links',
    severity: 'warning',
    run: async () => {
      const links = await facts.links();
      if (links.length === 0) return skipped('no links detected');
      const lines = await Promise.all(links.map((link) => namedGateways(facts, link)));
      return shortened(lines.flat(), 'linkspan mirrors');
    },
  };
}

async function namedGateways(facts: CheckFacts, object: LinkObject): Promise<string[]> {
  const parsed = parseLink(object);
  const name = object.metadata?.name ?? '';
  // Invalid Links are reported by other checks.
  if (!parsed.ok) return [];
  try {
    const named = (await askTarget(facts, object, readNamedGateways)) ?? [];
    return named.flatMap(({ gateway, exports, facts: gatewayFacts }) => {
      if (gatewayFacts === undefined) return [];
      const decision = decideGateway(gateway, gatewayFacts, parsed.link);
      return decision.kind === 'refused'
        ? [`* ${name}: GatewayNotAllowed: ${exports} exports name ${decision.message} (${IMPORT_GATEWAYS})`]
        : [];
    });
  } catch (error) {
    return [`* ${name}: its exports could not be looked at: ${describeError(error)}`];
  }
}

/** Existing mirrors that the default import policy, or those of the Links, would remove or change. Pure. */
export function mirrorsAtRisk(
  mirrors: readonly V1Service[],
  links: readonly LinkObject[],
  { namespace, linkerdNamespace }: Pick<CheckFacts, 'namespace' | 'linkerdNamespace'>,
): CheckFinding {
  const control = controlNamespaces([namespace, linkerdNamespace, DEFAULT_NAMESPACE]);
  const policies = new Map(
    links.map(({ metadata, spec }) => [
      spec?.targetClusterName ?? '',
      parseImportPolicy(metadata?.annotations).policy,
    ]),
  );
  const none = parseImportPolicy(undefined).policy;
  const lines = mirrors.flatMap((mirror) => {
    const policy = policies.get(clusterOf(mirror) ?? '') ?? none;
    const where = `* ${keyOf(mirror)}`;
    const refusal = importRefusal(exportOf(mirror), policy, control);
    if (refusal !== undefined) return [`${where} will be removed: ${refusal.message} (${IMPORT_NAMESPACES})`];
    const keys = [
      ...steeringOf(mirror.metadata?.labels, policy.label),
      ...steeringOf(mirror.metadata?.annotations, policy.annotation),
    ];
    return keys.length === 0
      ? []
      : [`${where} will lose ${shortList(keys, 5)}, unless somebody here has set it`];
  });
  return shortened(lines, 'docs/guides/migrate-from-linkerd.md');
}

/** The target's Service that a mirror or federated Service stands for, by its name. */
function exportOf(mirror: V1Service): { namespace: string; name: string } {
  const { namespace = '', name = '' } = mirror.metadata ?? {};
  const cluster = clusterOf(mirror);
  const plain = cluster === undefined ? name : name.slice(0, -cluster.length - 1);
  return { namespace, name: memberName(name) ?? plain };
}

function steeringOf(
  map: Readonly<Record<string, string>> | undefined,
  allowed: ((key: string) => boolean) | undefined,
): string[] {
  return Object.keys(map ?? {}).filter((key) => isSteering(key) && allowed?.(key) !== true);
}

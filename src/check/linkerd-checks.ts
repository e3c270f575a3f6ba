import { hasMemberList } from '../api/mirror/federated-members.ts';
import { readableNamespaces } from '../api/link/readable-namespaces.ts';
import type { V1CustomResourceDefinition, V1Service } from '@kubernetes/client-node';
import { CONTROLLER_NAME, CREATED_BY, EXTENSION_SELECTOR } from '../api/names.ts';
import { LINK_CRD, type LinkObject, links, namesGateway, parseLink } from '../api/link/link-schema.ts';
import { clusterOf } from '../api/mirror/mirror-labels.ts';
import { readAnnotation } from '../api/annotations.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import {
  clusterRoleBindings,
  clusterRoles,
  deployments,
  keyOf,
  roleBindings,
  roles,
  serviceAccounts,
} from '../api/kubernetes/resource.ts';
import { deniedRights, rightText } from '../kube/client/access-review.ts';
import { mirroringRights } from '../linking/account-rights.ts';
import type { LinkReport } from '../api/answers/admin-answers.ts';
import { type Category, type ClusterCheck, type CheckFinding, passed, passedUnless } from './check.ts';
import type { CheckFacts } from './check-facts.ts';
import { askTarget } from './asked-targets.ts';
import { boundRoots, trustRoots } from './trust-roots.ts';

const NO_LINKS: CheckFinding = { result: 'skipped', text: 'no links detected' };
const NO_PROXY: CheckFinding = {
  result: 'skipped',
  text: "Linkspan's pods speak mTLS themselves: they have no proxy",
};

/**
 * The checks of `linkerd multicluster check`, in its order and under its ids, for programs that read its
 * output.
 */
export function linkerdChecks(facts: CheckFacts): Category {
  const checks = [...linkChecks(facts), ...controllerChecks(facts), ...mirrorChecks(facts), ...proxyChecks()];
  // oxlint-disable-next-line linkspan/contract-names -- a heading, as Linkerd's CLI has it: no namespace
  return { name: 'linkerd-multicluster', checks };
}

/** A check that looks at all Links. */
function ofLinks(
  facts: CheckFacts,
  check: Omit<ClusterCheck, 'run'>,
  run: (links: readonly LinkObject[]) => Promise<CheckFinding>,
): ClusterCheck {
  return {
    ...check,
    run: async () => {
      const found = await facts.links();
      return found.length === 0 ? NO_LINKS : run(found);
    },
  };
}

/** Fails for the CRD of an older Linkerd, which lacks the version of Links that Linkspan reads. */
export function crdFinding(crd: V1CustomResourceDefinition | undefined): CheckFinding {
  const remedy = 'linkspan install --crds | kubectl apply -f -';
  const served = (crd?.spec.versions ?? []).filter((version) => version.served).map(({ name }) => name);
  if (crd === undefined) return { result: 'error', text: `${LINK_CRD} is not installed: ${remedy}` };
  if (served.includes(links.version)) return passed;
  const text = `${LINK_CRD} does not serve ${links.version} but ${served.join(', ')}, as of an older Linkerd; Links are kept: ${remedy}`;
  return { result: 'error', text };
}

function linkChecks(facts: CheckFacts): ClusterCheck[] {
  return [
    {
      id: 'l5d-multicluster-link-crd-exists',
      text: 'Link CRD exists',
      severity: 'fatal',
      run: async () => crdFinding(await facts.crd()),
    },
    ofLinks(
      facts,
      { id: 'l5d-multicluster-links-are-valid', text: 'Link resources are valid', severity: 'fatal' },
      (links) => Promise.resolve(validLinks(links)),
    ),
    ofLinks(
      facts,
      { id: 'l5d-multicluster-links-version', text: 'Link and CLI versions match', severity: 'warning' },
      (links) => Promise.resolve(linkVersions(links, facts.version)),
    ),
    ofLinks(
      facts,
      {
        id: 'l5d-smc-target-clusters-access',
        text: 'remote cluster access credentials are valid',
        severity: 'error',
      },
      async (links) =>
        passedUnless((await Promise.all(links.map((link) => accessTrouble(facts, link)))).flat()),
    ),
    ofLinks(
      facts,
      {
        id: 'l5d-multicluster-clusters-share-anchors',
        text: 'clusters share trust anchors',
        severity: 'error',
      },
      (links) => sharedAnchors(facts, links),
    ),
  ];
}

function controllerChecks(facts: CheckFacts): ClusterCheck[] {
  return [
    {
      id: 'l5d-multicluster-source-rbac-correct',
      text: 'service mirror controller has required permissions',
      severity: 'error',
      run: () => missingRbac(facts),
    },
    {
      id: 'l5d-multicluster-service-mirror-running',
      text: 'service mirror controllers are running',
      severity: 'error',
      retried: true,
      run: async () => {
        const found = await facts.find(deployments, { namespace: facts.namespace, name: CONTROLLER_NAME });
        if (found === undefined)
          return { result: 'error', text: `Deployment ${facts.namespace}/${CONTROLLER_NAME} does not exist` };
        const available = found.status?.availableReplicas ?? 0;
        return available > 0
          ? passed
          : { result: 'error', text: `no replica of ${CONTROLLER_NAME} is available` };
      },
    },
    {
      id: 'l5d-multicluster-managed-controllers',
      text: 'extension is managing controllers',
      severity: 'warning',
      run: async () => {
        const { items } = await facts.client.list(deployments, {
          namespace: facts.namespace,
          labelSelector: `${EXTENSION_SELECTOR},component in (controller,linkerd-service-mirror)`,
        });
        const others = items.filter(({ metadata }) => metadata?.name !== CONTROLLER_NAME);
        return passedUnless(
          others.map(
            (one) =>
              `* ${one.metadata?.name ?? ''}: a controller of Linkerd's mirrors the same Services; remove it`,
          ),
          'warning',
        );
      },
    },
  ];
}

function mirrorChecks(facts: CheckFacts): ClusterCheck[] {
  return [
    {
      ...ofLinks(
        facts,
        {
          id: 'l5d-multicluster-gateways-endpoints',
          text: 'probe services able to communicate with all gateway mirrors',
          severity: 'error',
        },
        (links) => Promise.resolve(deadGateways(links)),
      ),
      retried: true,
    },
    {
      id: 'l5d-multicluster-services-endpoints',
      text: 'all mirror services have endpoints',
      severity: 'error',
      run: async () =>
        (await facts.links()).length === 0 ? NO_LINKS : withoutEndpoints(await facts.reports()),
    },
    {
      id: 'l5d-multicluster-orphaned-services',
      text: 'all mirror services are part of a Link',
      severity: 'warning',
      run: async () => orphanedServices(await facts.mirrors(), await facts.links()),
    },
  ];
}

/** Linkerd's checks of its own proxies, which are skipped: Linkspan has none. */
function proxyChecks(): ClusterCheck[] {
  return [
    ['l5d-multicluster-proxy-healthy', 'multicluster extension proxies are healthy'],
    ['l5d-multicluster-proxy-cp-version', 'multicluster extension proxies are up-to-date'],
    ['l5d-multicluster-proxy-cli-version', 'multicluster extension proxies and cli versions match'],
  ].map(([id = '', text = '']) => ({ id, text, severity: 'warning', run: () => Promise.resolve(NO_PROXY) }));
}

/** Lists the clusters of valid Links too, as Linkerd does. */
export function validLinks(links: readonly LinkObject[]): CheckFinding {
  const problems = links.flatMap((link) => {
    const verdict = parseLink(link);
    return verdict.ok
      ? []
      : verdict.problems.map(({ field, problem }) => `* ${link.metadata?.name ?? ''}: ${field} ${problem}`);
  });
  if (problems.length > 0) return passedUnless(problems);
  return {
    result: 'success',
    text: links.map(({ spec }) => `* ${spec?.targetClusterName ?? ''}`).join('\n'),
  };
}

/**
 * Warns of Links that another version's CLI made, which may lack fields. Hand-written Links have no version.
 */
export function linkVersions(links: readonly LinkObject[], version: string): CheckFinding {
  return passedUnless(
    links.flatMap(({ metadata }) => {
      const by = readAnnotation(metadata?.annotations, CREATED_BY) ?? '';
      const own = by.startsWith('linkspan/') ? by.split(' ').at(-1) : version;
      return own === version
        ? []
        : [`* ${metadata?.name ?? ''}: made by ${by}, this is ${version}; link again`];
    }),
    'warning',
  );
}

/**
 * Checks the Link's credentials and rights as the controller does. Targets that cannot be reached from here
 * are left to the controller's own report.
 */
async function accessTrouble(facts: CheckFacts, link: LinkObject): Promise<string[]> {
  const cluster = link.spec?.targetClusterName ?? '';
  try {
    const denied = await askTarget(facts, link, (client) =>
      deniedRights(client, mirroringRights(readableNamespaces(link.metadata?.annotations))),
    );
    if (denied === undefined)
      return [
        `* ${cluster}: Secret ${facts.namespace}/${link.spec?.clusterCredentialsSecret ?? ''} does not exist`,
      ];
    return denied.length === 0
      ? []
      : [`* ${cluster}: its account may not ${denied.map(rightText).join(', ')}`];
  } catch (error) {
    const reached = link.status?.conditions?.some(
      ({ type, status }) => type === 'APIReachable' && status === 'True',
    );
    return reached === true ? [] : [`* ${cluster}: ${messageOf(error)}`];
  }
}

async function sharedAnchors(facts: CheckFacts, links: readonly LinkObject[]): Promise<CheckFinding> {
  const shared = await trustRoots(facts.client, facts);
  if (shared === undefined)
    return { result: 'skipped', text: "this cluster's trust anchors are not in a ConfigMap" };
  const own = new Set([...shared, ...(await boundRoots(facts))]);
  const problems: string[] = [];
  const hidden: string[] = [];
  const asked = await Promise.all(
    links.map(async (link) => ({
      cluster: link.spec?.targetClusterName ?? '',
      there: await targetRoots(facts, link),
    })),
  );
  for (const { cluster, there } of asked) {
    if (there === undefined) hidden.push(cluster);
    else if (![...there].some((anchor) => own.has(anchor))) problems.push(`* ${cluster}`);
  }
  if (problems.length > 0) return { result: 'error', text: `Problematic clusters:\n${problems.join('\n')}` };
  if (hidden.length === links.length)
    return {
      result: 'skipped',
      text: `the accounts over there may not read them (${hidden.join(', ')}); linkspan-gateway-path shows by a handshake whether they fit`,
    };
  return passed;
}

/**
 * Trust anchors of the target; undefined where the account may not read them, which is usual, or the target
 * cannot be reached from here.
 */
async function targetRoots(facts: CheckFacts, link: LinkObject): Promise<ReadonlySet<string> | undefined> {
  try {
    return await askTarget(facts, link, (client) => trustRoots(client, facts));
  } catch {
    return undefined;
  }
}

async function missingRbac(facts: CheckFacts): Promise<CheckFinding> {
  const { namespace } = facts;
  const name = CONTROLLER_NAME;
  const there = await Promise.all([
    facts.find(serviceAccounts, { namespace, name }),
    facts.find(clusterRoles, { name }),
    facts.find(clusterRoleBindings, { name }),
    facts.find(roles, { namespace, name }),
    facts.find(roleBindings, { namespace, name }),
  ]);
  const kinds = ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding'];
  return passedUnless(
    kinds.filter((_, index) => there[index] === undefined).map((kind) => `* ${kind} ${name} does not exist`),
  );
}

/** Gateways that are not alive, by the condition that the controller's probes keep. */
export function deadGateways(links: readonly LinkObject[]): CheckFinding {
  const lines = links.filter(namesGateway).flatMap(({ spec, status }) => {
    const condition = status?.conditions?.find(({ type }) => type === 'GatewayAlive');
    if (condition?.status === 'True') return [];
    return [
      `* ${spec?.targetClusterName ?? ''}: ${condition?.reason ?? 'Waiting'}: ${condition?.message ?? 'no controller has said anything'}`,
    ];
  });
  return passedUnless(lines);
}

/**
 * Mirrors without endpoints, with the reason, which Linkerd's check lacks. Not flat and federated ones, which
 * have no endpoints of their own, as with Linkerd.
 */
export function withoutEndpoints(reports: readonly LinkReport[]): CheckFinding {
  const lines = reports.flatMap(({ cluster, mirrors = [] }) =>
    mirrors
      .filter(({ mode, endpoints, reason }) => endpoints === 0 && mode !== 'flat' && reason !== 'NotExported')
      .map(({ service, local, reason, message }) => {
        const namespace = service.split('/')[0] ?? '';
        return `* ${local}.${namespace} mirrored from cluster [${cluster}]: ${reason}${message === '' ? '' : `: ${message}`}`;
      }),
  );
  return passedUnless(lines);
}

export function orphanedServices(mirrors: readonly V1Service[], links: readonly LinkObject[]): CheckFinding {
  const clusters = new Set(links.map(({ spec }) => spec?.targetClusterName));
  const lines = mirrors.flatMap((mirror) => {
    const cluster = clusterOf(mirror);
    if (cluster === undefined || clusters.has(cluster)) return [];
    if (hasMemberList(mirror)) return [];
    return [`* mirror service ${keyOf(mirror)} is not part of any Link (cluster ${cluster})`];
  });
  return passedUnless(lines, 'warning');
}

import type { V1ResourceAttributes } from '@kubernetes/client-node';
import type { Clock } from '../base/clock.ts';
import { EXTENSION_LABEL } from '../base/names.ts';
import { namespaces, serviceAccounts, deployments } from '../kube/resource.ts';
import { deniedRights, rightText } from '../kube/rights.ts';
import { type Category, type Check, passed, unless } from './check.ts';
import type { CheckFacts } from './facts.ts';
import { clockSkew } from './clock-skew.ts';

/** The sleep action of preStop hooks is on by default from here on. */
const OLDEST = [1, 30] as const;
const NAMES = ['linkspan-controller', 'linkspan-egress', 'linkerd-gateway'];

/** What an installation needs, before anything is written. */
export function preChecks(facts: CheckFacts, clock: Clock, helm: () => Promise<string>): Category {
  const checks = [...serverChecks(facts), ...roomChecks(facts, clock, helm)];
  return { name: 'pre-linkspan-setup', checks };
}

function serverChecks(facts: CheckFacts): Check[] {
  return [
    {
      id: 'linkspan-pre-api',
      text: 'the API server can be asked',
      severity: 'fatal',
      run: async () => {
        await facts.client.raw('GET', '/version');
        return passed;
      },
    },
    {
      id: 'linkspan-pre-version',
      text: `Kubernetes is ${OLDEST.join('.')} or newer`,
      severity: 'error',
      run: async () => {
        const { major, minor, gitVersion } = (await facts.client.raw('GET', '/version')) as Record<
          string,
          string
        >;
        const [have, need] = [
          Number(major) * 1000 + Number.parseInt(minor ?? '0', 10),
          OLDEST[0] * 1000 + OLDEST[1],
        ];
        return have >= need ? passed : { result: 'error', text: `this is ${gitVersion ?? 'unknown'}` };
      },
    },
    {
      id: 'linkspan-pre-rights',
      text: 'you may create what an installation has',
      severity: 'error',
      run: async () =>
        unless(
          (await deniedRights(facts.client, neededRights())).map((one) => `* you may not ${rightText(one)}`),
        ),
    },
    {
      id: 'linkspan-pre-crd',
      text: 'the Link CRD is absent, or serves what Linkspan writes',
      severity: 'error',
      run: async () => {
        const crd = await facts.crd();
        if (crd === undefined || crd.spec?.versions.some(({ name, served }) => name === 'v1alpha3' && served))
          return passed;
        return {
          result: 'error',
          text: 'links.multicluster.linkerd.io does not serve v1alpha3: linkspan install --crds | kubectl apply -f -',
        };
      },
    },
  ];
}

function roomChecks(facts: CheckFacts, clock: Clock, helm: () => Promise<string>): Check[] {
  return [
    {
      id: 'linkspan-pre-namespace',
      text: 'the namespace is absent, or that of the extension',
      severity: 'warning',
      run: async () => {
        const found = await facts.find(namespaces, { name: facts.namespace });
        if (found === undefined || found.metadata?.labels?.[EXTENSION_LABEL] === 'multicluster')
          return passed;
        return {
          result: 'warning',
          text: `${facts.namespace} is there without the label ${EXTENSION_LABEL}=multicluster`,
        };
      },
    },
    {
      id: 'linkspan-pre-names',
      text: 'no object of somebody else has a name that Linkspan takes',
      severity: 'error',
      run: () => foreignNames(facts),
    },
    {
      id: 'linkspan-pre-clock-skew',
      text: "clocks of this machine and of the cluster's API server agree",
      severity: 'warning',
      run: () => clockSkew(facts, clock, []),
    },
    {
      id: 'linkspan-pre-helm',
      text: 'helm is there, which renders the chart',
      severity: 'error',
      run: async () => {
        const version = await helm();
        return version === '' ? passed : { result: 'success', text: version };
      },
    },
  ];
}

/** What the chart makes, as the API server's rights call it. */
const MADE: Readonly<Record<string, readonly string[]>> = {
  '': ['namespaces', 'serviceaccounts', 'secrets', 'services'],
  apps: ['deployments'],
  'rbac.authorization.k8s.io': ['clusterroles', 'clusterrolebindings', 'roles', 'rolebindings'],
  'apiextensions.k8s.io': ['customresourcedefinitions'],
};

function neededRights(): V1ResourceAttributes[] {
  return Object.entries(MADE).flatMap(([group, resources]) =>
    resources.map((resource) => ({ group, resource, verb: 'create' })),
  );
}

/** Linkerd's gateway among them: two programs behind one Service would be one too many. */
async function foreignNames(facts: CheckFacts) {
  const lines: string[] = [];
  for (const name of NAMES)
    for (const resource of [deployments, serviceAccounts]) {
      const found = await facts.find<{ metadata?: { labels?: Record<string, string> } }>(resource, {
        namespace: facts.namespace,
        name,
      });
      if (found !== undefined && found.metadata?.labels?.['app.kubernetes.io/part-of'] !== 'linkspan')
        lines.push(`* ${resource.kind} ${facts.namespace}/${name} is there and is not Linkspan's`);
    }
  return unless(lines);
}

import type { Clock } from '../base/clock.ts';
import { EXTENSION_SELECTOR, isOfExtension } from '../api/names.ts';
import { LINK_CRD, links } from '../api/link/link-schema.ts';
import type { ErrorCode } from '../api/errors/error-catalogue.ts';
import { codeOf, describeError } from '../api/errors/linkspan-error.ts';
import { namespaces } from '../api/kubernetes/resource.ts';
import {
  type Category,
  type ClusterCheck,
  type CheckFinding,
  passed,
  skipped,
  passedUnless,
} from './check.ts';
import type { CheckFacts } from './check-facts.ts';
import { clockSkew } from './clock-skew.ts';
import { importPreChecks } from './import-checks.ts';
import { slicePreChecks } from './slice-checks.ts';

/** Outcome of an installation as a dry run. */
export interface InstallDryRun {
  /** Why the installation would be refused; undefined: it would succeed. */
  readonly error: Error | undefined;
  /** What the API server warned about. */
  readonly warnings: readonly string[];
  /** Pods that would be refused although their Deployment is accepted, and why. */
  readonly refusedPods: readonly string[];
}

/** What `check --pre` needs besides the cluster. */
export interface PreOptions {
  readonly clock: Clock;
  /** Reads helm's version. @throws LinkspanError HELM_MISSING */
  readonly helm: () => Promise<string>;
  /** Does a dry run of the installation: everything is rendered and validated by the API server. */
  readonly dryRunInstall: () => Promise<InstallDryRun>;
}

/** Oldest Kubernetes version: from here on the sleep action of preStop hooks is enabled by default. */
const OLDEST = [1, 30] as const;

/** Checks of what an installation needs, before anything is written. */
export function preChecks(facts: CheckFacts, options: PreOptions): Category {
  let trial: Promise<InstallDryRun> | undefined;
  // One dry run for all checks that need it.
  const tried = () => (trial ??= options.dryRunInstall());
  return {
    name: 'pre-linkspan-setup',
    checks: [
      ...serverChecks(facts),
      ...roomChecks(facts, options),
      ...importPreChecks(facts),
      ...slicePreChecks(facts),
      ...trialChecks(tried),
    ],
  };
}

function serverChecks(facts: CheckFacts): ClusterCheck[] {
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
      id: 'linkspan-pre-crd',
      text: 'the Link CRD is absent, or serves what Linkspan writes',
      severity: 'error',
      run: async () => {
        const crd = await facts.crd();
        if (crd === undefined || crd.spec?.versions.some(({ name, served }) => name === 'v1alpha3' && served))
          return passed;
        return {
          result: 'error',
          text: `${LINK_CRD} does not serve ${links.version}: linkspan install --crds | kubectl apply -f -`,
        };
      },
    },
  ];
}

function roomChecks(facts: CheckFacts, { clock, helm }: PreOptions): ClusterCheck[] {
  return [
    {
      id: 'linkspan-pre-namespace',
      text: 'the namespace is absent, or that of the extension',
      severity: 'warning',
      run: async () => {
        const found = await facts.find(namespaces, { name: facts.namespace });
        if (found?.metadata?.deletionTimestamp !== undefined)
          return { result: 'error', text: `${facts.namespace} is being deleted: wait until it is gone` };
        if (found === undefined || isOfExtension(found)) return passed;
        return {
          result: 'warning',
          text: `${facts.namespace} is there without the label ${EXTENSION_SELECTOR}`,
        };
      },
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

/** Error codes of a refused installation, by the check that reports them. */
const SAID_BY: Readonly<Record<string, readonly ErrorCode[]>> = {
  'linkspan-pre-rights': ['RIGHTS_MISSING'],
  'linkspan-pre-names': ['APPLY_FOREIGN', 'APPLY_CONFLICT', 'INSTALLED_OTHERWISE'],
  // Reported by the checks of helm and of the Kubernetes version.
  others: ['HELM_MISSING', 'KUBERNETES_TOO_OLD'],
};

function trialChecks(tried: () => Promise<InstallDryRun>): ClusterCheck[] {
  const refusal = (id: string, text: string): ClusterCheck => ({
    id,
    text,
    severity: 'error',
    run: async () => verdictOf((await tried()).error, id),
  });
  return [
    refusal('linkspan-pre-rights', 'you may write everything that an installation has'),
    refusal('linkspan-pre-names', 'nothing of somebody else is in the way'),
    {
      ...refusal('linkspan-pre-accepted', 'the API server takes everything that an installation has'),
      run: async () => {
        const { error, warnings } = await tried();
        const code = codeOf(error);
        if (code !== undefined && Object.values(SAID_BY).some((codes) => codes.includes(code)))
          return skipped('it was not asked: see what failed');
        if (error !== undefined) return { result: 'error', text: describeError(error) };
        return passedUnless(warnings, 'warning');
      },
    },
    {
      id: 'linkspan-pre-pods',
      text: 'the namespace admits the pods (Pod Security Standard, quotas)',
      severity: 'error',
      run: async () => {
        const { error, refusedPods } = await tried();
        return error === undefined ? passedUnless(refusedPods) : skipped('it was not asked: see what failed');
      },
    },
  ];
}

/** The result of one check for a refusal that another check may report. Pure. */
function verdictOf(error: Error | undefined, id: string): CheckFinding {
  if (error === undefined) return passed;
  const code = codeOf(error);
  if (code !== undefined && SAID_BY[id]?.includes(code) === true)
    return { result: 'error', text: describeError(error) };
  // Rights are checked first, so that a later refusal means they are sufficient.
  return id === 'linkspan-pre-rights' && code !== undefined && AFTER_RIGHTS.has(code)
    ? passed
    : skipped('it was not looked at: see what failed');
}

const AFTER_RIGHTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'APPLY_FOREIGN',
  'APPLY_CONFLICT',
  'APPLY_REFUSED',
]);

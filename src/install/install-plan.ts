import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { InstallFacts } from './install-facts.ts';
import { differences, joinValues, type Values } from './values.ts';

/** Which verb is run, and whether with `--force`. */
export interface InstallPlanOptions {
  readonly verb: 'install' | 'upgrade';
  readonly namespace: string;
  /** Go on although an existing installation with unknown values would be changed. */
  readonly force: boolean;
}

/**
 * Checks that the verb fits the cluster: nothing of Helm's own, and for `upgrade` an installation.
 * @throws LinkspanError HELM_RELEASE, NOT_INSTALLED
 */
export function assertFits(facts: InstallFacts, options: InstallPlanOptions): void {
  const { verb, namespace, force } = options;
  if (facts.helmRelease !== undefined && !force)
    throw new LinkspanError(
      'HELM_RELEASE',
      `Linkspan in ${namespace} was installed by Helm, as release ${facts.helmRelease}`,
    );
  if (verb === 'install' || facts.stored !== undefined) return;
  const why = facts.deployed
    ? 'Linkspan is there, but not the values that it was installed with'
    : 'Linkspan is not installed';
  throw new LinkspanError('NOT_INSTALLED', `namespace ${namespace}: ${why}`);
}

/**
 * Checks that an `install` over an existing installation has the same values, so that it does not silently
 * reset values to their defaults.
 * @throws LinkspanError INSTALLED_OTHERWISE with the keys that differ
 */
export function assertSameValues(facts: InstallFacts, wanted: Values, options: InstallPlanOptions): void {
  if (options.verb === 'upgrade' || options.force || facts.stored === undefined) return;
  const differ = differences(facts.stored, wanted);
  if (differ.length === 0) return;
  throw new LinkspanError(
    'INSTALLED_OTHERWISE',
    `Linkspan is installed in ${options.namespace} with other values: ${differ.join(', ')}`,
  );
}

/**
 * Values that follow from the cluster; all values of the user override them. Where Linkerd is installed,
 * gateway and egress get their certificates from it, so that meshed clients and other Linkerd clusters trust
 * them, and other clusters' Linkerd may read what Linkerd's own account may (for flat mirrors and
 * `linkerd multicluster check`).
 */
export function clusterValues(facts: InstallFacts, ownIssuer: boolean): Values {
  if (facts.linkerd === undefined) return {};
  const { clusterDomain, trustDomain } = facts.linkerd;
  const values = { clusterDomain, identityTrustDomain: trustDomain, remoteAccess: { linkerd: true } };
  return ownIssuer ? values : joinValues(values, { identity: { source: 'linkerd' } });
}

/** `repository:tag`, `repository@sha256:…` or `repository` as values. @throws LinkspanError CONFIG_INVALID */
export function imageValues(image: string): Values {
  const match =
    /^(?<repository>[^\s@]+?)(?::(?<tag>[A-Za-z0-9_][\w.-]{0,127}))?(?:@(?<digest>sha256:[0-9a-f]{64}))?$/.exec(
      image,
    );
  const { repository, tag = '', digest = '' } = match?.groups ?? {};
  if (repository === undefined)
    throw new LinkspanError(
      'CONFIG_INVALID',
      `install: --image: "${image}" is not an image such as registry.example/linkspan:1.0`,
    );
  return { image: { repository, tag, digest } };
}

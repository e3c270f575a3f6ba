import type { V1Secret } from '@kubernetes/client-node';
import { type Clock, systemClock } from '../base/clock.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { DEFAULT_CLUSTER_DOMAIN, ISSUER_SECRET } from '../api/names.ts';
import { type Authority, createAnchor, createIssuer } from '../identity/authority/issue.ts';
import { verifiedIssuer } from '../identity/authority/issuer-dir.ts';
import { clusterTrustDomain } from '../identity/names/trust-domain.ts';
import { valueAt, type Values, withoutValue } from './values.ts';

/** PEM files that the flags name, with their paths. */
export interface IssuerFiles {
  readonly ca: { readonly path: string; readonly text: string };
  readonly cert: { readonly path: string; readonly text: string };
  readonly key: { readonly path: string; readonly text: string };
}

export interface IssuerFacts {
  /** Files that were given on the command line; they replace an existing issuer. */
  readonly files: IssuerFiles | undefined;
  /** The issuer's existing Secret. */
  readonly secret: V1Secret | undefined;
}

/**
 * Where the issuer comes from. `given`: files. `kept`: the cluster has one, which stays. `made`: a new anchor
 * and issuer. `values`: the values contain it. `none`: certificates come from elsewhere.
 */
export interface IssuerPlan {
  readonly from: 'given' | 'kept' | 'made' | 'values' | 'none';
  /** Values for rendering only; they are not stored for `upgrade`. */
  readonly values: Values;
  /** End of the issuer's certificate, milliseconds since the epoch; undefined where it is not known. */
  readonly notAfter?: number;
}

/** Values that hold the issuer. */
const ISSUER_VALUES = ['identity.issuer.tls.crtPEM', 'identity.issuer.tls.keyPEM', 'identityTrustAnchorsPEM'];

/** Name of the issuer's Secret; undefined where certificates come from elsewhere. */
export function issuerSecretName(values: Values): string | undefined {
  if ((valueAt(values, 'identity.source') ?? 'issuer') !== 'issuer') return undefined;
  const name = valueAt(values, 'identity.issuer.secretName') ?? ISSUER_SECRET;
  return typeof name === 'string' ? name : undefined;
}

/**
 * Chooses the issuer: given files, else the cluster's, else the values', else a new one under a new trust
 * anchor, as Linkerd's `install` does.
 * @throws LinkspanError IDENTITY_… when the chosen one cannot be used
 */
export async function planIssuer(
  values: Values,
  facts: IssuerFacts,
  clock: Clock = systemClock,
): Promise<IssuerPlan> {
  if (issuerSecretName(values) === undefined) return { from: 'none', values: {} };
  const trustDomain = trustDomainIn(values);
  if (facts.files !== undefined) {
    const issuer = await verifiedIssuer(facts.files, clock.now(), trustDomain);
    return planned('given', issuer);
  }
  if (facts.secret !== undefined) {
    const { notAfter } = await verifiedIssuer(filesOf(facts.secret), clock.now(), trustDomain);
    return { from: 'kept', values: {}, notAfter };
  }
  if (typeof valueAt(values, ISSUER_VALUES[0] ?? '') === 'string') return { from: 'values', values: {} };
  const options = { clock, trustDomain, constrained: true };
  return planned('made', await createIssuer(await createAnchor(options), options));
}

/** The trust domain of a cluster by its values, as the chart's `linkspan.trustDomain` computes it. */
export function trustDomainIn(values: Values): string {
  const text = (key: string) => {
    const value = valueAt(values, key);
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  return clusterTrustDomain(text('identityTrustDomain') ?? DEFAULT_CLUSTER_DOMAIN, text('clusterName'));
}

/** The values to store for `upgrade`, without the issuer: the cluster has it, and it may be renewed there. */
export function withoutIssuer(values: Values): Values {
  return ISSUER_VALUES.reduce<Values>(withoutValue, values);
}

function planned(from: 'given' | 'made', issuer: Authority): IssuerPlan {
  const tls = { crtPEM: issuer.chain, keyPEM: issuer.key };
  return {
    from,
    values: { identity: { issuer: { tls } }, identityTrustAnchorsPEM: issuer.ca },
    notAfter: issuer.notAfter,
  };
}

function filesOf({ metadata, data = {} }: V1Secret): IssuerFiles {
  const where = `Secret ${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
  const file = (key: string) => {
    const encoded = data[key];
    if (encoded === undefined || encoded === '')
      throw new LinkspanError('IDENTITY_MISSING', `${where}: it has no ${key}`, {
        hint: 'Complete it, delete it so that a new issuer is made, or give one with --identity-issuer-certificate-file and its like.',
      });
    return { path: `${where}, ${key}`, text: Buffer.from(encoded, 'base64').toString('utf8') };
  };
  return { cert: file('tls.crt'), key: file('tls.key'), ca: file('ca.crt') };
}

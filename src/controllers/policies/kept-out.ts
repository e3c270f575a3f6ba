import type { V1Service } from '@kubernetes/client-node';
import { steeringKeys, type CopyRules } from '../../api/mirror/mirror-metadata.ts';
import { shortList, type ImportNote } from '../imports/import-rules.ts';
import type { RemoteFacts } from '../reconcile/mirror-facts.ts';

type PodFacts = Pick<RemoteFacts, 'imports' | 'remoteSlices'>;

/**
 * What the import policy has left out of an export that is mirrored: labels and annotations, and addresses.
 * @param wanted `rules`: which labels and annotations are copied; `pods`: whether the pods' own addresses are
 * used
 */
export function importNotes(
  facts: PodFacts,
  remote: V1Service,
  wanted: { readonly rules: CopyRules; readonly pods: boolean },
): ImportNote[] {
  const notes: ImportNote[] = [];
  const keys = steeringKeys(remote, wanted.rules);
  if (keys.length > 0)
    notes.push({
      reason: 'ImportMetadataLeftOut',
      text: `not copied, it steers this cluster's own machinery: ${shortList(keys)}`,
    });
  if (!facts.imports.metadataAllowed)
    notes.push({
      reason: 'ImportQuotaExceeded',
      text: `labels and annotations are not copied: the quota metadata-bytes of the Link is used up`,
    });
  const addresses = wanted.pods ? refusedAddresses(facts) : [];
  if (addresses.length > 0)
    notes.push({ reason: 'ImportAddressRefused', text: `addresses not used: ${shortList(addresses, 4)}` });
  return notes;
}

/** The pods' addresses that are not used, each with the reason. */
function refusedAddresses({ imports, remoteSlices }: PodFacts): string[] {
  const found = new Set<string>();
  for (const address of podAddresses(remoteSlices)) {
    const why = imports.podRefusal(address);
    if (why !== undefined) found.add(`${address} (${why})`);
  }
  return [...found].sort();
}

/** Addresses that the target names as pods'. */
function podAddresses(slices: RemoteFacts['remoteSlices']): string[] {
  return slices
    .filter(({ addressType }) => addressType !== 'FQDN')
    .flatMap(({ endpoints = [] }) => endpoints.flatMap(({ addresses }) => addresses ?? []));
}

/** Whether the target names addresses of pods and none of them can be used. */
export function allRefused(facts: PodFacts): boolean {
  const named = podAddresses(facts.remoteSlices);
  return named.length > 0 && named.every((address) => facts.imports.podRefusal(address) !== undefined);
}

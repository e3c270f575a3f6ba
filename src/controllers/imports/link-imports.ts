import type { V1Namespace, V1Service } from '@kubernetes/client-node';
import { clusterOf } from '../../api/mirror/mirror-labels.ts';
import type { Clock } from '../../base/clock.ts';
import { createdAt } from '../../api/kubernetes/resource.ts';
import { IMPORT_QUOTAS } from '../../api/names.ts';
import type { ImportPolicy } from '../../api/link/import-policy.ts';
import { metadataBytes } from '../../exports/service-size.ts';
import type { DropGuard } from '../removals/drop-guard.ts';
import { GracePeriods } from '../removals/grace-periods.ts';
import { ImportLedger } from './import-ledger.ts';
import { importRefusal, type Refusal } from './import-rules.ts';
import {
  copiedAnnotations,
  copiedLabels,
  recordedKeys,
  type CopyRules,
} from '../../api/mirror/mirror-metadata.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { podRefusal, type OwnRanges } from './remote-addresses.ts';

/**
 * How long existing mirrors are kept when the policy suddenly refuses many of them: time to undo a mistaken
 * edit.
 */
const HELD_MS = 30_000;
/** When an import that found no room is tried again: there is no event when others give room back. */
export const QUOTA_RECHECK_MS = 30_000;

/** What the Link's import policy says about one exported Service. */
export interface ImportFacts {
  /** Why it is not mirrored at all. */
  readonly refusal: Refusal | undefined;
  /**
   * For how many milliseconds an existing mirror still stays although the policy refuses it, because many
   * would go at once; 0: it goes now.
   */
  readonly heldMs: number;
  /** Whether the quota of namespaces has room, where its namespace would have to be made. */
  readonly namespaceAllowed: boolean;
  /** Why there is no room for it in the Link's quotas. */
  readonly overQuota: string | undefined;
  /** Whether there is room for its labels and annotations; where not, the mirror is made without them. */
  readonly metadataAllowed: boolean;
  /** Why an address that the target names as a pod's cannot be used; undefined: it can. */
  readonly podRefusal: (address: string) => string | undefined;
}

/** The facts for Services that no policy applies to: the source cluster's own. */
export const TAKES_ALL: ImportFacts = {
  refusal: undefined,
  heldMs: 0,
  namespaceAllowed: true,
  overQuota: undefined,
  metadataAllowed: true,
  podRefusal: () => undefined,
};

/** The source cluster's namespaces, our own writes included; a `LocalView`. */
interface NamespaceView {
  namespace(name: string): 'present' | 'absent' | 'terminating';
  readonly stores: { readonly namespaces: { list(): readonly V1Namespace[] } };
}

/** One Link's import policy, and what it is applied with. */
export interface LinkImportsOptions {
  readonly policy: ImportPolicy;
  readonly controlNamespaces: ReadonlySet<string>;
  readonly rules: CopyRules;
  /** Name of the target cluster. */
  readonly cluster: string;
  /** Whether namespaces that are missing are made. */
  readonly createNamespaces: boolean;
  /** The source cluster's own address ranges. */
  readonly own: OwnRanges;
  readonly guard: DropGuard;
  readonly view: NamespaceView;
  readonly clock: Clock;
}

/** One Service that is to be imported. */
export interface ImportRequest {
  /** `namespace/name`. */
  readonly key: string;
  /** Its entry in the ledger: the key, or the claim of a membership. */
  readonly claim: string;
  /** Undefined: not exported. */
  readonly remote: V1Service | undefined;
  /** Whether something exists for it here. */
  readonly exists: boolean;
  readonly mirrors: number;
  readonly egressPorts: number;
}

/** A mirror, or a federated Service with a member of this Link, that exists. */
export interface ExistingImport {
  readonly claim: string;
  readonly service: V1Service;
  /** Endpoint mirrors of a headless one. */
  readonly hosts: number;
  readonly relayed: boolean;
}

/** A mirror with nothing but the labels and annotations that were copied onto it. */
function recorded({ metadata }: V1Service): V1Service {
  const keys = recordedKeys(metadata?.annotations);
  const copied = (map: Readonly<Record<string, string>> | undefined) =>
    Object.fromEntries(Object.entries(map ?? {}).filter(([key]) => keys.has(key)));
  return { metadata: { labels: copied(metadata?.labels), annotations: copied(metadata?.annotations) } };
}

/** Applies the import policy of one Link to its mirrors and memberships, which share its quotas. */
export class LinkImports {
  readonly ledger: ImportLedger;
  readonly #options: LinkImportsOptions;
  readonly #held: GracePeriods;
  /**
   * Bytes of metadata that are copied of a Service, by the object that the watch gave: a key is reconciled
   * more often than its Service changes.
   */
  readonly #sizes = new WeakMap<V1Service, number>();
  /** Keys of mirrors that exist and that the policy refuses. */
  readonly #refused = new Set<string>();

  constructor(options: LinkImportsOptions) {
    this.#options = options;
    this.ledger = new ImportLedger(options.policy.quotas);
    this.#held = new GracePeriods(options.clock, HELD_MS);
  }

  /** Why a Service is not mirrored at all; undefined: it may be. */
  refusal(key: string): Refusal | undefined {
    const { policy, controlNamespaces } = this.#options;
    return importRefusal(parseKey(key), policy, controlNamespaces);
  }

  /**
   * Whether an endpoint mirror may be called like its host: not where the policy lists names and this is none
   * of them.
   */
  takesHost(namespace: string, host: string): boolean {
    const { names } = this.#options.policy;
    return names === undefined || names.matches(host) || names.matches(`${namespace}/${host}`);
  }

  /** Notes whether a mirror exists, to count how many the policy would remove at once. */
  note(key: string, exists: boolean): void {
    if (exists && this.refusal(key) !== undefined) {
      this.#refused.add(key);
      return;
    }
    this.#refused.delete(key);
    this.#held.end(key);
  }

  /** Enters what exists when the process starts, the oldest first, so that it keeps its room. */
  seed(existing: readonly ExistingImport[]): void {
    const byAge = [...existing].sort((a, b) => createdAt(a.service) - createdAt(b.service));
    for (const { claim, service, hosts, relayed } of byAge) {
      const ports = (service.spec?.ports ?? []).length * Math.max(1, hosts);
      this.ledger.admit(claim, {
        mirrors: 1 + hosts,
        egressPorts: relayed ? ports : 0,
        metadataBytes: this.#bytes(recorded(service)),
      });
    }
  }

  /** Applies the policy to one Service, and takes room in the quotas for it, or gives it back. */
  judge(request: ImportRequest): ImportFacts {
    const { policy, own } = this.#options;
    const { key, claim, remote, exists } = request;
    // An existing mirror is judged although its Service is not known: the target may be unreachable, or
    // silent on purpose.
    const refusal = remote !== undefined || exists ? this.refusal(key) : undefined;
    const takes = remote !== undefined && refusal === undefined;
    const common = {
      refusal,
      heldMs: refusal !== undefined && exists ? this.#heldMs(key) : 0,
      podRefusal: (address: string) => podRefusal(address, policy, own),
    };
    if (!takes) {
      // A mirror that still exists although its Service is not known keeps its room.
      if (refusal !== undefined || !exists) this.ledger.release(claim);
      return { ...common, namespaceAllowed: false, overQuota: undefined, metadataAllowed: true };
    }
    const { mirrors, egressPorts } = request;
    const need = { mirrors, egressPorts, metadataBytes: this.#bytes(remote) };
    const { exceeded, metadata } = this.ledger.admit(claim, need);
    return {
      ...common,
      namespaceAllowed: this.#namespaceAllowed(key),
      overQuota:
        exceeded === undefined
          ? undefined
          : `the Link's quota ${this.ledger.text(exceeded)} is used up (${IMPORT_QUOTAS})`,
      metadataAllowed: metadata,
    };
  }

  #bytes(service: V1Service): number {
    const known = this.#sizes.get(service);
    if (known !== undefined) return known;
    const { rules } = this.#options;
    const { labels, annotations } = service.metadata ?? {};
    const bytes =
      metadataBytes(copiedLabels(labels, rules)) + metadataBytes(copiedAnnotations(annotations, rules));
    this.#sizes.set(service, bytes);
    return bytes;
  }

  /** Asks the quota of namespaces only where one would be made. */
  #namespaceAllowed(key: string): boolean {
    const { view, cluster, createNamespaces } = this.#options;
    const { namespace } = parseKey(key);
    if (!createNamespaces || view.namespace(namespace) !== 'absent') return true;
    const made = () =>
      view.stores.namespaces
        .list()
        .filter((one) => clusterOf(one) === cluster)
        .map(({ metadata }) => metadata?.name ?? '');
    return this.ledger.admitNamespace(namespace, made);
  }

  #heldMs(key: string): number {
    if (!this.#options.guard.tooMany(this.#refused.size)) return 0;
    return this.#held.left(key);
  }
}

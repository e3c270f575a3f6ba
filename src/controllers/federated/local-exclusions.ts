import { isDeepStrictEqual } from 'node:util';
import { keyTest } from '../../api/link/import-policy.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import type { LinkObject } from '../../api/link/link-schema.ts';
import type { CopyRules, KeyTest } from '../../api/mirror/mirror-metadata.ts';

/**
 * What flags exclude of the source cluster's own members of federated Services; where one is undefined, the
 * Links decide.
 */
export interface LocalExclusionSettings {
  readonly label: KeyTest | undefined;
  readonly annotation: KeyTest | undefined;
}

interface Lists {
  readonly labels: readonly string[];
  readonly annotations: readonly string[];
}

/**
 * Which labels and annotations of the source cluster's own members are not copied onto federated Services.
 * Those members come by no Link. So where no flag says otherwise, everything that any Link excludes is
 * excluded: the local member leads, and what a Link keeps out of this cluster's Services would otherwise come
 * in by it, as soon as a local Service has the same name.
 */
export class LocalExclusions {
  readonly #links: IndexedStore<LinkObject>;
  readonly #settings: LocalExclusionSettings;
  #lists: Lists;
  #label: KeyTest;
  #annotation: KeyTest;

  constructor(links: IndexedStore<LinkObject>, settings: LocalExclusionSettings) {
    this.#links = links;
    this.#settings = settings;
    this.#lists = listsOf(links);
    this.#label = keyTest(this.#lists.labels);
    this.#annotation = keyTest(this.#lists.annotations);
  }

  /** The functions ask for the lists of the Links as they are when called. */
  readonly rules: Pick<CopyRules, 'excludedLabel' | 'excludedAnnotation'> = {
    excludedLabel: (key) => (this.#settings.label ?? this.#label)(key),
    excludedAnnotation: (key) => (this.#settings.annotation ?? this.#annotation)(key),
  };

  /**
   * Calls `listener` when the lists of the Links have changed, not for every write of a Link's status.
   * @returns what ends the subscription
   */
  follow(listener: () => void): () => void {
    return this.#links.subscribe('local members: what Links exclude', () => {
      const lists = listsOf(this.#links);
      if (isDeepStrictEqual(lists, this.#lists)) return;
      this.#lists = lists;
      this.#label = keyTest(lists.labels);
      this.#annotation = keyTest(lists.annotations);
      listener();
    });
  }
}

/** The lists of all Links, invalid ones too: what those exclude is clear all the same. */
function listsOf(links: IndexedStore<LinkObject>): Lists {
  const of = (field: 'excludedLabels' | 'excludedAnnotations') => [
    ...new Set(links.list().flatMap(({ spec }) => strings(spec?.[field]))),
  ];
  return { labels: of('excludedLabels').sort(), annotations: of('excludedAnnotations').sort() };
}

/** The texts of a list; a Link from under an older CRD may hold anything there. */
function strings(list: unknown): string[] {
  return Array.isArray(list) ? list.filter((one) => typeof one === 'string') : [];
}

import { isDeepStrictEqual } from 'node:util';
import { keyTest } from '../../api/link/import-policy.ts';
import type { IndexedStore } from '../../kube/informer/store.ts';
import type { LinkObject } from '../../api/link/link-schema.ts';
import type { CopyRules, KeyTest } from '../../api/mirror/mirror-metadata.ts';

/**
 * What a person has said about the source cluster's own members of federated Services; what is undefined, the
 * Links say.
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
 * Which labels and annotations of the source cluster's own members no federated Service gets. No Link stands
 * for them, so without a word of their own what any Link excludes holds: the local member leads, and what a
 * Link keeps out of this cluster's Services would else come back by it as soon as the two have one name.
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

  /** These stay true while Links come, change and go. */
  readonly rules: Pick<CopyRules, 'excludedLabel' | 'excludedAnnotation'> = {
    excludedLabel: (key) => (this.#settings.label ?? this.#label)(key),
    excludedAnnotation: (key) => (this.#settings.annotation ?? this.#annotation)(key),
  };

  /**
   * Calls `listener` when another key may be excluded now; a Link's status is no reason. Returns the
   * unsubscriber.
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

/** Also of Links that are refused for something else: what they exclude is said all the same. */
function listsOf(links: IndexedStore<LinkObject>): Lists {
  const of = (field: 'excludedLabels' | 'excludedAnnotations') => [
    ...new Set(links.list().flatMap(({ spec }) => strings(spec?.[field]))),
  ];
  return { labels: of('excludedLabels').sort(), annotations: of('excludedAnnotations').sort() };
}

/** Links that an older CRD let through may hold anything. */
function strings(list: unknown): string[] {
  return Array.isArray(list) ? list.filter((one) => typeof one === 'string') : [];
}

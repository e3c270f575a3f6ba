import { reportContained } from '../../base/isolation.ts';
import { codeOf } from '../../api/errors/linkspan-error.ts';
import { keyOf, type KubeObject, type Resource } from '../../api/kubernetes/resource.ts';
import type { Logger } from '../../telemetry/log.ts';
import { OverlongAnnotations } from './overlong-annotations.ts';
import type { IndexedStore } from './store.ts';

/** How objects of one kind are stripped; see `ReflectorOptions`. */
export interface ObjectTransformOptions<T extends KubeObject> {
  readonly resource: Resource<T>;
  readonly store: IndexedStore<T>;
  /** Strips what is not used; undefined leaves the object out. */
  readonly transform?: (object: T) => T | undefined;
  readonly keepManagedFields?: boolean;
  readonly log: Logger;
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** What is kept of an object that an API server has sent (client-go's TransformFunc). */
export class ObjectTransform<T extends KubeObject> {
  readonly #options: ObjectTransformOptions<T>;
  readonly #overlong: OverlongAnnotations;

  constructor(options: ObjectTransformOptions<T>) {
    this.#options = options;
    this.#overlong = new OverlongAnnotations(options.resource.plural, options.log);
  }

  /**
   * What is kept of an object; undefined: nothing. Where `transform` throws, that is reported and the object
   * stays as the store has it: one object that cannot be read must not keep others, or a whole list, out.
   * @throws what `transform` throws with an error code, on purpose
   */
  of(object: T): T | undefined {
    try {
      return this.#read(object);
    } catch (error) {
      if (codeOf(error) !== undefined) throw error;
      const { resource, store } = this.#options;
      reportContained(error, 'objects of an API server', { resource: resource.plural, key: keyOf(object) });
      return store.get(keyOf(object));
    }
  }

  /** An object has been deleted. */
  forget(object: T): void {
    this.#overlong.forget(object);
  }

  #read(object: T): T | undefined {
    const { metadata } = object;
    if (metadata !== undefined) {
      if (this.#options.keepManagedFields !== true) delete metadata.managedFields;
      if (metadata.annotations !== undefined) delete metadata.annotations[LAST_APPLIED];
    }
    this.#overlong.look(object);
    return this.#options.transform === undefined ? object : this.#options.transform(object);
  }
}

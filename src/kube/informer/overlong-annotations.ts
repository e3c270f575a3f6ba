import { overlongAnnotations } from '../../api/annotations.ts';
import type { Logger } from '../../telemetry/log.ts';
import { keyOf, type KubeObject } from '../../api/kubernetes/resource.ts';

/**
 * Logs which annotations of an object are too long to be read: once, and again only when others are. A watch
 * brings the same object many times.
 */
export class OverlongAnnotations {
  readonly #log: Logger;
  readonly #resource: string;
  /** What was logged last, by the object's key. */
  readonly #said = new Map<string, string>();

  /** @param resource plural of the kind, for the log */
  constructor(resource: string, log: Logger) {
    this.#resource = resource;
    this.#log = log;
  }

  /** An object has come, by a list or a watch. */
  look(object: KubeObject): void {
    const problems = overlongAnnotations(object.metadata?.annotations);
    if (problems.length === 0 && this.#said.size === 0) return;
    const key = keyOf(object);
    const text = problems.join('; ');
    if (text === (this.#said.get(key) ?? '')) return;
    if (text === '') {
      this.forget(object);
      return;
    }
    this.#said.set(key, text);
    this.#log.warn({ resource: this.#resource, object: key, problems }, 'annotations too long to be read');
  }

  /** An object has gone. */
  forget(object: KubeObject): void {
    this.#said.delete(keyOf(object));
  }
}

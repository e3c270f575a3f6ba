import type { Logger } from '../telemetry/log.ts';

/**
 * Logs what is wrong with the annotations of Services and Namespaces: once for each, and again when the
 * problems change.
 */
export class AnnotationProblems {
  readonly #log: Logger;
  /** The problems that were last logged, by Service. */
  readonly #said = new Map<string, string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param problems one line each; empty when all is well, or the Service is gone */
  tell(service: string, problems: readonly string[]): void {
    const text = problems.join('; ');
    if (text === (this.#said.get(service) ?? '')) return;
    if (text === '') this.#said.delete(service);
    else this.#said.set(service, text);
    if (text !== '') this.#log.warn({ service, problems }, 'annotations not followed');
  }

  /** Forgets the Services that are not among these. */
  keepOnly(services: ReadonlySet<string>): void {
    for (const service of this.#said.keys()) if (!services.has(service)) this.#said.delete(service);
  }
}

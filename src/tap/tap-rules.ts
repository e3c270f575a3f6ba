import { readAnnotation, type Annotations } from '../api/annotations.ts';
import { TAP, VIZ_DISABLE_TAP } from '../api/names.ts';
import { namespaces, services } from '../api/kubernetes/resource.ts';
import type { Clock } from '../base/clock.ts';
import { type KubeClient, orUndefined } from '../kube/client/kube-client.ts';

/** What of a Service's requests may be seen: everything that a tap shows, not their paths, or nothing. */
export type TapRule = 'all' | 'no-paths' | 'off';

/** How long what objects say holds, and how long one answer may take; milliseconds. */
const KEPT_MS = 20_000;
const ANSWER_MS = 5000;
const MAX_KEPT = 2000;

/**
 * What Services and Namespaces say of taps (`linkspan.dev/tap`, and `viz.linkerd.io/disable-tap` of Linkerd's
 * viz). They are read when their flows are seen first, and what cannot be read is not shown.
 */
export class TapRules {
  readonly #client: Pick<KubeClient, 'get'>;
  readonly #clock: Clock;
  readonly #kept = new Map<string, { readonly at: number; readonly rule: Promise<TapRule> }>();

  constructor({ client, clock }: { readonly client: Pick<KubeClient, 'get'>; readonly clock: Clock }) {
    this.#client = client;
    this.#clock = clock;
  }

  /** The stricter word of Service and Namespace; for what is no Service of Kubernetes there is none. */
  async of(target: {
    readonly namespace?: string | undefined;
    readonly service?: string | undefined;
    readonly mirror?: string | undefined;
  }): Promise<TapRule> {
    const { namespace } = target;
    const name = target.service ?? target.mirror;
    if (namespace === undefined || name === undefined) return 'all';
    const rules = await Promise.all([
      this.#keep(namespace, (signal) => this.#client.get(namespaces, { name: namespace }, { signal })),
      this.#keep(`${namespace}/${name}`, (signal) =>
        this.#client.get(services, { namespace, name }, { signal }),
      ),
    ]);
    return rules.find((rule) => rule === 'off') ?? rules.find((rule) => rule === 'no-paths') ?? 'all';
  }

  #keep(
    key: string,
    read: (signal: AbortSignal) => Promise<{ readonly metadata?: { readonly annotations?: Annotations } }>,
  ): Promise<TapRule> {
    const now = this.#clock.monotonic();
    const kept = this.#kept.get(key);
    if (kept !== undefined && now - kept.at < KEPT_MS) return kept.rule;
    this.#kept.delete(key);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    const rule = orUndefined(read(AbortSignal.timeout(ANSWER_MS))).then(
      (object) => tapRuleOf(object?.metadata?.annotations),
      (): TapRule => 'off',
    );
    this.#kept.set(key, { at: now, rule });
    return rule;
  }
}

/** What annotations say; a word that is not known is the strictest. */
export function tapRuleOf(annotations: Annotations | undefined): TapRule {
  const viz = readAnnotation(annotations, VIZ_DISABLE_TAP);
  const said = readAnnotation(annotations, TAP);
  if (viz !== undefined && isTrue(viz)) return 'off';
  if (said === undefined || said === 'on') return 'all';
  return said === 'no-paths' ? said : 'off';
}

/** As Go's `strconv.ParseBool`, by which viz reads it. */
function isTrue(text: string): boolean {
  return ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text);
}

import type { V1EndpointSlice, V1Node } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import { backoffDelay, type Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { addressBytes, IpRanges } from '../../base/ip-ranges.ts';
import { isForbidden, isNotFound, type KubeClient } from '../../kube/client/kube-client.ts';
import { Reflector } from '../../kube/informer/reflector.ts';
import {
  identityOf,
  endpointSlices,
  nodes,
  serviceCidrs,
  type KubeObject,
  type Resource,
  type ServiceCidr,
} from '../../api/kubernetes/resource.ts';
import { IndexedStore } from '../../kube/informer/store.ts';
import type { Logger } from '../../telemetry/log.ts';
import { OWN_RANGES, type OwnRange, type OwnRanges } from './remote-addresses.ts';

/** What the controller's flags say of the source cluster's own address ranges. */
export interface RangeSettings {
  /** Ranges (CIDR) of each kind. */
  readonly given: Readonly<Record<OwnRange, readonly string[]>>;
  /** Whether ranges are also learned from Nodes, ServiceCIDRs and the API server's slice. */
  readonly learn: boolean;
}

/** The flags' ranges, and where others are learned. */
export interface SourceRangesOptions extends RangeSettings {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** The ranges have changed. */
  readonly onChange: () => void;
}

/**
 * Waits between attempts to read a kind of object; short at first, because the controller is not ready before
 * each kind has been read or refused.
 */
const BACKOFF = { minMs: 200, maxMs: 30_000 };
/** How often a kind that may not be read, or does not exist, is asked for again. */
const AGAIN_MS = 600_000;
/** How long changes of objects are gathered before the ranges are worked out again. */
const GATHER_MS = 500;

/** One kind of object from which ranges are learned. */
interface Source<T extends KubeObject> {
  readonly resource: Resource<T>;
  /** Which objects of the kind. */
  readonly which: { readonly namespace?: string; readonly fieldSelector?: string };
  readonly store: IndexedStore<T>;
  reflector: Reflector<T> | undefined;
  /** Why nothing is learned from it. */
  problem: string | undefined;
  /** Whether it has been listed, or was refused. */
  settled: boolean;
}

/**
 * The source cluster's own pod, Service and node ranges: those of the flags, and those that Nodes
 * (`spec.podCIDRs`, addresses), ServiceCIDRs (Kubernetes 1.33) and the slice of `default/kubernetes` name,
 * where these may be read. No address that a target names may lie in them. Kinds whose ranges are not known
 * are in `unknown`, for `linkspan check`.
 */
export class SourceRanges implements OwnRanges {
  readonly #options: SourceRangesOptions;
  readonly #nodes: Source<V1Node>;
  readonly #cidrs: Source<ServiceCidr>;
  /** The API server's own addresses, which no Node has in managed clusters. */
  readonly #apiServers: Source<V1EndpointSlice>;
  readonly #timers = new Set<Timer>();
  readonly #whenSettled = Promise.withResolvers<void>();
  #ranges: Readonly<Record<OwnRange, IpRanges>>;
  /** The ranges as text, to see whether they have changed. */
  #text = '';
  #changing: Timer | undefined;
  #stopped = false;

  constructor(options: SourceRangesOptions) {
    this.#options = options;
    this.#nodes = newSource(nodes);
    this.#cidrs = newSource(serviceCidrs);
    this.#apiServers = newSource(endpointSlices, {
      namespace: 'default',
      fieldSelector: 'metadata.name=kubernetes',
    });
    this.#ranges = this.#compute();
    if (!options.learn) this.#whenSettled.resolve();
  }

  /** The ranges that are known now; a new object after each change. */
  get ranges(): Readonly<Record<OwnRange, IpRanges>> {
    return this.#ranges;
  }

  /** The kinds of ranges that are not known, each with the reason. */
  get unknown(): readonly string[] {
    return OWN_RANGES.filter((kind) => !this.#isKnown(kind)).map((kind) => `${kind}: ${this.#why(kind)}`);
  }

  /** Resolves when each kind of object has been read, or refused. */
  get settled(): Promise<void> {
    return this.#whenSettled.promise;
  }

  /** Whether each kind of object has been read, or refused. */
  get isSettled(): boolean {
    return !this.#options.learn || this.#sources.every(({ settled }) => settled);
  }

  get #sources() {
    return [this.#nodes, this.#cidrs, this.#apiServers];
  }

  start(): void {
    if (!this.#options.learn) return;
    void this.#follow(this.#nodes, keepNodeRanges);
    void this.#follow(this.#cidrs, (cidr) => cidr);
    void this.#follow(this.#apiServers, (slice) => slice);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of [...this.#timers, this.#changing]) timer?.cancel();
    await Promise.all(this.#sources.map(async ({ reflector }) => reflector?.stop()));
  }

  /** Asks whether the kind may be read, again and again until it may, then watches it. */
  async #follow<T extends KubeObject>(
    source: Source<T>,
    transform: (object: T) => T,
    failures = 0,
  ): Promise<void> {
    const { client, clock, random, log } = this.#options;
    try {
      await client.list(source.resource, { ...source.which, limit: 1 });
    } catch (error) {
      if (this.#stopped) return;
      const refused = isForbidden(error) || isNotFound(error);
      if (refused) {
        source.problem = isForbidden(error)
          ? `${source.resource.plural} may not be read`
          : `this API server has no ${source.resource.plural}`;
        this.#settle(source);
      } else
        log.warn(
          { kind: source.resource.plural, cause: messageOf(error) },
          'ranges of this cluster not read',
        );
      const ms = refused ? AGAIN_MS : backoffDelay(failures, BACKOFF, random);
      const timer = clock.after(
        ms,
        () => {
          this.#timers.delete(timer);
          void this.#follow(source, transform, failures + 1);
        },
        { unref: true },
      );
      this.#timers.add(timer);
      return;
    }
    if (this.#stopped) return;
    source.problem = undefined;
    const { resource, which, store } = source;
    const reflector = new Reflector<T>({ client, resource, ...which, store, clock, random, log, transform });
    source.reflector = reflector;
    store.subscribe('controller: own address ranges', ({ object, previous }) => {
      // A Node's status is written every few minutes: only changes of ranges matter.
      const same = previous !== undefined && isDeepStrictEqual(rangesIn(previous), rangesIn(object));
      if (source.settled && !same) this.#changeSoon();
    });
    reflector.start();
    reflector.whenSynced().then(
      () => this.#settle(source),
      () => undefined,
    );
  }

  #settle(source: { settled: boolean }): void {
    source.settled = true;
    this.#changed();
    if (this.isSettled) this.#whenSettled.resolve();
  }

  /** Many Nodes that come at once are one change. */
  #changeSoon(): void {
    if (this.#changing !== undefined || this.#stopped) return;
    this.#changing = this.#options.clock.after(
      GATHER_MS,
      () => {
        this.#changing = undefined;
        this.#changed();
      },
      { unref: true },
    );
  }

  #changed(): void {
    if (this.#stopped) return;
    this.#ranges = this.#compute();
    const text = OWN_RANGES.map((kind) => this.#ranges[kind].texts.join()).join(' ');
    if (text === this.#text) return;
    this.#text = text;
    const { log, onChange } = this.#options;
    log.info(
      { pods: this.#ranges.pod.texts.length, services: this.#ranges.service.texts, unknown: this.unknown },
      "this cluster's own ranges",
    );
    onChange();
  }

  #compute(): Readonly<Record<OwnRange, IpRanges>> {
    const { given } = this.#options;
    const all = this.#nodes.store.list();
    const pod = all.flatMap(({ spec }) => spec?.podCIDRs ?? []);
    const node = all.flatMap(({ status }) => (status?.addresses ?? []).map(({ address }) => address));
    const apiServers = this.#apiServers.store
      .list()
      .flatMap(({ endpoints = [] }) => endpoints.flatMap(({ addresses }) => addresses ?? []));
    const service = this.#cidrs.store.list().flatMap(({ spec }) => spec?.cidrs ?? []);
    const learned = (texts: readonly string[]) =>
      texts.filter((text) => addressBytes(text.split('/', 1)[0] ?? '') !== undefined);
    return {
      pod: new IpRanges(unique([...given.pod, ...learned(pod)])),
      service: new IpRanges(unique([...given.service, ...learned(service)])),
      node: new IpRanges(unique([...given.node, ...learned([...node, ...apiServers])])),
    };
  }

  #isKnown(kind: OwnRange): boolean {
    if (this.#options.given[kind].length > 0) return true;
    if (this.#ranges[kind].empty || (kind !== 'service' && this.#nodes.store.size === 0)) return false;
    // Networks that give pods other addresses than those of the Nodes' `podCIDRs` leave these empty, at least
    // on some Nodes.
    return kind !== 'pod' || this.#nodes.store.list().every(({ spec }) => (spec?.podCIDRs ?? []).length > 0);
  }

  #why(kind: OwnRange): string {
    if (!this.#options.learn) return 'nothing says them, and they are not learned';
    const source = kind === 'service' ? this.#cidrs : this.#nodes;
    if (source.problem !== undefined) return source.problem;
    if (source.store.size === 0) return `there are no ${source.resource.plural}`;
    return 'not all Nodes have spec.podCIDRs';
  }
}

function newSource<T extends KubeObject>(resource: Resource<T>, which: Source<T>['which'] = {}): Source<T> {
  return {
    resource,
    which,
    store: new IndexedStore<T>(),
    reflector: undefined,
    problem: undefined,
    settled: false,
  };
}

/** The parts of an object from which ranges are learned. */
function rangesIn(object: KubeObject): unknown {
  const { spec, status, endpoints } = object as ServiceCidr & V1Node & Partial<V1EndpointSlice>;
  return [spec, status?.addresses, endpoints?.map(({ addresses }) => addresses)];
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}

/** A Node with nothing but what is used of it. */
function keepNodeRanges(node: V1Node): V1Node {
  const { spec, status } = node;
  const addresses = (status?.addresses ?? []).filter(
    ({ type }) => type === 'InternalIP' || type === 'ExternalIP',
  );
  return {
    metadata: identityOf(node),
    spec: spec?.podCIDRs === undefined ? {} : { podCIDRs: spec.podCIDRs },
    status: { addresses },
  };
}

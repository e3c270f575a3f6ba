import type { V1Service } from '@kubernetes/client-node';
import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { CLUSTER_NAME_LABEL } from '../base/names.ts';
import type { ExportView } from '../discovery/export-view.ts';
import type { KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/event-recorder.ts';
import { services } from '../kube/resource.ts';
import { WorkQueue } from '../kube/work-queue.ts';
import type { Link } from '../link/schema.ts';
import { links } from '../link/schema.ts';
import type { Logger } from '../telemetry/log.ts';
import { apply } from './apply.ts';
import { removalsHeld, type DropGuardSettings } from './drop-guard.ts';
import type { EgressAllocator } from './egress-allocator.ts';
import type { MirrorAddress } from './endpoints.ts';
import type { DataPath, LinkFacts, MirrorFacts } from './facts.ts';
import type { GatewayAddresses } from './gateway-addresses.ts';
import type { LocalView } from './local-view.ts';
import { mirrorName, originOf, parseKey } from './naming.ts';
import { plan } from './plan.ts';
import { mirroredPorts } from './ports.ts';
import type { MirrorReason } from './reasons.ts';
import { decide, type Verdict } from './verdict.ts';

/** Priorities of the queue: what takes traffic away from the dead overtakes bulk mirroring. */
export const PRIORITY = { bulk: 0, change: 10, withdrawal: 20 } as const;

/** How long a name conflict waits before it is looked at again; the other object is not ours to watch. */
const CONFLICT_RECHECK_MS = 10_000;

export interface PeerSettings {
  readonly dataPath: DataPath;
  readonly writeEndpoints: boolean;
  readonly dropGuard: DropGuardSettings;
  /** Keys of one peer that are worked on at once. */
  readonly concurrency: number;
}

export interface PeerOptions {
  readonly link: Link;
  readonly settings: PeerSettings;
  readonly remote: KubeClient;
  readonly exports: ExportView;
  readonly local: KubeClient;
  readonly view: LocalView;
  readonly gateway: GatewayAddresses;
  readonly egress: EgressAllocator;
  /** Ready egress pods of the source cluster. */
  readonly egressAddresses: () => readonly MirrorAddress[];
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * One Link at work: watches one target cluster and keeps its mirrors. Each peer has its own queue and its own connection to the target, so that a
 * cluster that hangs, floods or lies slows down nobody else.
 */
export class Peer {
  readonly #options: PeerOptions;
  readonly #facts: LinkFacts;
  readonly #queue: WorkQueue;
  readonly #stop = new AbortController();
  readonly #unsubscribe: (() => void)[] = [];
  readonly #verdicts = new Map<string, MirrorReason>();
  /** Keys that a second full list has confirmed to be no longer exported. */
  #confirmed = new Set<string>();
  #confirming = false;

  constructor(options: PeerOptions) {
    this.#options = options;
    const { link, settings } = options;
    this.#facts = {
      cluster: link.targetClusterName,
      clusterDomain: link.targetClusterDomain,
      dataPath: settings.dataPath,
      gateway: link.gateway,
      rules: { excludedLabel: link.excludedLabel, excludedAnnotation: link.excludedAnnotation },
      writeEndpoints: settings.writeEndpoints,
    };
    this.#queue = new WorkQueue({
      handler: (key) => this.#reconcile(key),
      concurrency: settings.concurrency,
      backoff: { minMs: 100, maxMs: 30_000 },
      clock: options.clock,
      random: options.random,
      log: options.log,
      onError: (key, error) => {
        this.#verdicts.set(key, 'Error');
        options.log.warn({ service: key, err: error }, 'mirror not written, trying again');
      },
    });
  }

  /** Mirrors and what was decided about each, by key of the remote Service. */
  get verdicts(): ReadonlyMap<string, MirrorReason> {
    return this.#verdicts;
  }

  /** Keys that wait to be worked on. */
  get depth(): number {
    return this.#queue.depth;
  }

  get exports(): ExportView {
    return this.#options.exports;
  }

  /** Number of mirrors that exist. */
  get mirrorCount(): number {
    return this.#mirrors().length;
  }

  /** Starts watching and mirroring. Returns at once; the first complete list releases removals. */
  start(): void {
    const { exports, gateway, view } = this.#options;
    this.#unsubscribe.push(
      exports.subscribe((key) => this.#queue.add(key, this.#priorityOf(key))),
      view.stores.services.subscribe((change) => this.#localChanged(change.object)),
      view.stores.endpoints.subscribe((change) => this.#localPartChanged(change.object)),
      view.stores.endpointSlices.subscribe((change) => this.#localPartChanged(change.object)),
      view.stores.namespaces.subscribe((change) => this.#namespaceChanged(change.key)),
    );
    exports.start();
    void gateway.start().then(() => this.resync());
    void exports.whenSynced(this.#stop.signal).then(
      () => {
        this.#options.log.info(
          { exported: exports.services.size, mirrors: this.mirrorCount },
          'first complete list from target',
        );
        this.resync();
      },
      () => undefined,
    );
  }

  /** Looks at every export and every mirror again. */
  resync(priority: number = PRIORITY.bulk): void {
    for (const key of this.#options.exports.services.keys()) this.#queue.add(key, priority);
    for (const mirror of this.#mirrors()) {
      const key = originOf(mirror, this.#facts.cluster);
      if (key !== undefined) this.#queue.add(key, priority);
    }
  }

  /** Stops; when it resolves no write of this peer is under way or will follow. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('peer stopped'));
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#options.gateway.stop();
    await Promise.all([this.#queue.stop(), this.#options.exports.stop()]);
    await this.#options.remote.close();
  }

  async #reconcile(key: string): Promise<void> {
    const facts = this.#gather(key);
    const verdict = decide(facts);
    const steps = plan(facts, verdict);
    const { local, view, log } = this.#options;
    if (steps.length > 0) {
      const result = await apply({ client: local, view, signal: this.#stop.signal }, steps);
      if (result === 'stale') {
        this.#queue.add(key, PRIORITY.change);
        return;
      }
      const writes = steps.map((step) => `${step.verb} ${step.kind}`);
      log.info({ service: key, reason: verdict.reason, writes }, 'mirror written');
    }
    this.#settle(key, verdict, facts);
  }

  /** Remembers and reports what was decided. */
  #settle(key: string, verdict: Verdict, facts: MirrorFacts): void {
    const before = this.#verdicts.get(key);
    if (verdict.reason === 'NotExported' && facts.remote === undefined) {
      this.#verdicts.delete(key);
      this.#confirmed.delete(key);
      return;
    }
    this.#verdicts.set(key, verdict.reason);
    if (verdict.reason === 'NameConflict') this.#queue.addAfter(key, CONFLICT_RECHECK_MS);
    if (verdict.reason === 'DropHeld') void this.#confirmDrop();
    if (before !== verdict.reason && verdict.action !== 'mirror') this.#report(key, verdict);
  }

  #report(key: string, verdict: Verdict): void {
    const { log, events, link } = this.#options;
    // One line speaks for all that are held (confirmDrop), and none is needed while nothing is known.
    if (verdict.reason === 'NotSynced' || verdict.reason === 'DropHeld') return;
    log.warn({ service: key, reason: verdict.reason }, 'service not mirrored');
    events.record({
      regarding: {
        apiVersion: `${links.group}/${links.version}`,
        kind: links.kind,
        name: link.name,
        namespace: link.namespace,
        uid: link.uid,
      },
      type: 'Warning',
      reason: verdict.reason,
      message: `${key} of cluster ${this.#facts.cluster} is not mirrored: ${verdict.reason}`,
    });
  }

  #gather(text: string): MirrorFacts {
    const { exports, view } = this.#options;
    const key = parseKey(text);
    const name = mirrorName(key.name, this.#facts.cluster);
    const exported = exports.services.get(text);
    const remote =
      exported !== undefined && this.#options.link.selector.matches(exported.metadata?.labels)
        ? exported
        : undefined;
    const local = view.service(key.namespace, name);
    return {
      key,
      link: this.#facts,
      synced: exports.synced,
      removalsHeld: remote === undefined && local !== undefined && this.#removalsHeld(text),
      remote,
      remoteReady: exports.endpointsKnown(text) ? exports.endpointsOf(text).ready : undefined,
      namespaceExists: view.namespaceExists(key.namespace),
      local,
      localSlices: view.slices(key.namespace, name),
      localEndpoints: view.endpoints(key.namespace, name),
      ...this.#destination(`${key.namespace}/${name}`, remote, local),
    };
  }

  /** Where the mirror's traffic goes. */
  #destination(
    mirror: string,
    remote: V1Service | undefined,
    local: V1Service | undefined,
  ): Pick<MirrorFacts, 'addresses' | 'egressPorts'> {
    if (this.#facts.dataPath === 'gateway') {
      return { addresses: this.#options.gateway.current.map((ip) => ({ ip })), egressPorts: undefined };
    }
    const ports = remote === undefined ? [] : mirroredPorts(remote).map((port) => port.port);
    return {
      addresses: this.#options.egressAddresses(),
      egressPorts: this.#options.egress.allocate(mirror, ports, local),
    };
  }

  /** Every mirror that exists for this Link's cluster. */
  #mirrors(): V1Service[] {
    return this.#options.view.stores.services.byIndex(CLUSTER_NAME_LABEL, this.#facts.cluster);
  }

  #removalsHeld(key: string): boolean {
    if (this.#confirmed.has(key)) return false;
    const origins = this.#mirrors().map((mirror) => originOf(mirror, this.#facts.cluster));
    const absent = origins.filter(
      (origin) => origin !== undefined && this.#options.exports.services.get(origin) === undefined,
    );
    const confirmed = absent.filter((origin) => origin !== undefined && this.#confirmed.has(origin)).length;
    return removalsHeld(
      { mirrors: origins.length, absent: absent.length, confirmed },
      this.#options.settings.dropGuard,
    );
  }

  /** Asks the target once more, past every cache, which Services it exports; what is absent again may be removed. */
  async #confirmDrop(): Promise<void> {
    if (this.#confirming) return;
    this.#confirming = true;
    const { remote, log, exports } = this.#options;
    log.warn(
      { mirrors: this.mirrorCount, exported: exports.services.size },
      'many mirrors would go at once: held until confirmed',
    );
    try {
      const listed = await this.#listExports();
      const absent = this.#mirrors()
        .map((mirror) => originOf(mirror, this.#facts.cluster))
        .filter((origin) => origin !== undefined && !listed.has(origin));
      this.#confirmed = new Set(absent.filter((origin) => origin !== undefined));
      log.warn(
        { confirmed: this.#confirmed.size, server: remote.server },
        'second full list confirms removals',
      );
      for (const key of this.#confirmed) this.#queue.add(key, PRIORITY.bulk);
    } catch (error) {
      log.warn({ err: error }, 'second full list failed, removals stay held');
      this.#options.clock.after(5000, () => void this.#confirmDrop(), { unref: true });
    } finally {
      this.#confirming = false;
    }
  }

  async #listExports(): Promise<Set<string>> {
    const found = new Set<string>();
    let continueToken: string | undefined;
    do {
      const page = await this.#options.remote.list(services, {
        labelSelector: this.#options.link.selector.toString(),
        limit: 500,
        signal: this.#stop.signal,
        ...(continueToken === undefined ? {} : { continueToken }),
      });
      for (const { metadata } of page.items)
        found.add(`${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`);
      continueToken = page.continueToken;
    } while (continueToken !== undefined && continueToken !== '');
    return found;
  }

  #priorityOf(key: string): number {
    const { exports } = this.#options;
    const withdrawn = exports.endpointsKnown(key) && exports.endpointsOf(key).ready === 0;
    return withdrawn ? PRIORITY.withdrawal : PRIORITY.bulk;
  }

  #localChanged(service: V1Service): void {
    const key = originOf(service, this.#facts.cluster);
    if (key !== undefined) this.#queue.add(key, PRIORITY.change);
  }

  /** Endpoints and slices are found back through their mirror's name, which ends in the cluster's. */
  #localPartChanged(part: {
    metadata?: { namespace?: string; name?: string; labels?: Record<string, string> };
  }): void {
    const { namespace, name, labels } = part.metadata ?? {};
    if (labels?.[CLUSTER_NAME_LABEL] !== this.#facts.cluster) return;
    const mirror = labels['kubernetes.io/service-name'] ?? name ?? '';
    const suffix = `-${this.#facts.cluster}`;
    if (mirror.endsWith(suffix))
      this.#queue.add(`${namespace ?? ''}/${mirror.slice(0, -suffix.length)}`, PRIORITY.change);
  }

  #namespaceChanged(namespace: string): void {
    for (const key of this.#options.exports.services.keys()) {
      if (parseKey(key).namespace === namespace) this.#queue.add(key, PRIORITY.change);
    }
  }
}

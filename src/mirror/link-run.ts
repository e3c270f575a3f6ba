import type { V1Secret } from '@kubernetes/client-node';
import type { Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { LinkspanError } from '../base/errors.ts';
import { CREDENTIALS_SECRET_KEY, CREDENTIALS_SECRET_TYPE, DATA_PATH } from '../base/names.ts';
import { ExportView } from '../discovery/export-view.ts';
import type { ClusterAccess } from '../kube/access.ts';
import { KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/event-recorder.ts';
import { LeaseElector } from '../kube/lease.ts';
import type { IndexedStore } from '../kube/store.ts';
import { accessFromSecret } from '../link/credentials.ts';
import { links, parseLink, type Link, type LinkObject } from '../link/schema.ts';
import { isDeepStrictEqual } from 'node:util';
import { nextConditions, type LinkStatus } from '../link/status.ts';
import type { Logger } from '../telemetry/log.ts';
import type { DropGuardSettings } from './drop-guard.ts';
import type { EgressAllocator } from './egress-allocator.ts';
import type { PortRange } from './egress-ports.ts';
import type { MirrorAddress } from './endpoints.ts';
import type { DataPath } from './facts.ts';
import { GatewayAddresses, type Resolver } from './gateway-addresses.ts';
import { linkConditions } from './link-conditions.ts';
import type { LocalView } from './local-view.ts';
import { Peer } from './peer.ts';

/** How often a Link's status is compared with what was last written; changes in between are written together. */
const STATUS_PERIOD_MS = 1000;

export interface LinkSettings {
  /** Data path of Links that do not say it themselves. */
  readonly dataPath: DataPath;
  readonly writeEndpoints: boolean;
  readonly dropGuard: DropGuardSettings;
  readonly concurrency: number;
  readonly egressRange: PortRange;
}

export interface LinkRunOptions {
  /** `namespace/name` of the Link. */
  readonly key: string;
  readonly settings: LinkSettings;
  readonly replica: string;
  readonly client: KubeClient;
  readonly view: LocalView;
  readonly events: EventRecorder;
  readonly egress: EgressAllocator;
  readonly egressAddresses: () => readonly MirrorAddress[];
  readonly resolver: Resolver;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** What a run was started from; as long as it is the same, nothing is restarted. */
interface Basis {
  readonly spec: unknown;
  readonly dataPath: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly rival: string | undefined;
}

/**
 * The life of one Link: checks it and its credentials, holds its Lease, runs its Peer while the Lease is held, and writes its status.
 */
export class LinkRun {
  readonly #options: LinkRunOptions;
  #basis: Basis | undefined;
  #object: LinkObject | undefined;
  #problem: LinkspanError | undefined;
  #peer: Peer | undefined;
  #elector: LeaseElector | undefined;
  #statusTimer: Timer | undefined;
  #written: LinkStatus | undefined;
  #writing = false;

  constructor(options: LinkRunOptions) {
    this.#options = options;
  }

  /** The peer, while this replica holds the Link's Lease. */
  get peer(): Peer | undefined {
    return this.#peer;
  }

  /** Takes in the Link as it is now (undefined = deleted) and the Secrets; restarts the peer when anything that it depends on has changed. */
  async update(
    object: LinkObject | undefined,
    secrets: IndexedStore<V1Secret>,
    rival: string | undefined,
  ): Promise<void> {
    this.#object = object;
    if (object === undefined) {
      await this.stop();
      return;
    }
    const secret = secrets.get(
      `${object.metadata?.namespace ?? ''}/${object.spec?.clusterCredentialsSecret ?? ''}`,
    );
    const basis = basisOf(object, secret, rival);
    if (isDeepStrictEqual(basis, this.#basis)) return;
    await this.#halt();
    this.#basis = basis;
    this.#start(object, secret, rival);
  }

  /** Stops the peer and gives the Lease up; when it resolves no write is under way. */
  async stop(): Promise<void> {
    this.#statusTimer?.cancel();
    this.#statusTimer = undefined;
    await this.#halt();
  }

  async #halt(): Promise<void> {
    await this.#elector?.stop();
    this.#elector = undefined;
    this.#problem = undefined;
    this.#peer = undefined;
  }

  #start(object: LinkObject, secret: V1Secret | undefined, rival: string | undefined): void {
    try {
      const { link, access } = check(object, secret, rival);
      const { client, replica, clock, random, log } = this.#options;
      this.#elector = new LeaseElector({
        client,
        namespace: link.namespace,
        name: `service-mirror-write-${link.name}`,
        identity: replica,
        clock,
        random,
        log,
        onTerm: (signal) => this.#term(link, access, signal),
      });
      this.#elector.start();
    } catch (error) {
      if (!(error instanceof LinkspanError)) throw error;
      this.#options.log.error({ err: error }, 'link not usable');
      this.#problem = error;
      void this.#writeStatus();
    }
    this.#scheduleStatus();
  }

  /** One term of holding the Lease: runs the peer until the signal says that it is over. */
  async #term(link: Link, access: ClusterAccess, signal: AbortSignal): Promise<void> {
    const peer = this.#newPeer(link, access);
    this.#peer = peer;
    this.#options.log.info({ cluster: link.targetClusterName, server: access.server }, 'link started');
    peer.start();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#peer = undefined;
    await peer.stop();
    this.#options.log.info({ cluster: link.targetClusterName }, 'link stopped');
  }

  #newPeer(link: Link, access: ClusterAccess): Peer {
    const { settings, client, view, events, egress, egressAddresses, resolver, clock, random, log } =
      this.#options;
    const remote = new KubeClient(access, { clock, random, log });
    const selectors = link.selector.empty ? [] : [link.selector.toString()];
    const peer: Peer = new Peer({
      link,
      settings: {
        dataPath: link.dataPath ?? settings.dataPath,
        writeEndpoints: settings.writeEndpoints,
        dropGuard: settings.dropGuard,
        concurrency: settings.concurrency,
      },
      remote,
      exports: new ExportView({ client: remote, selectors, clock, random, log }),
      local: client,
      view,
      gateway: new GatewayAddresses({
        hosts: link.gateway?.addresses ?? [],
        resolver,
        clock,
        random,
        log,
        onChange: () => peer.resync(),
      }),
      egress,
      egressAddresses,
      events,
      clock,
      random,
      log,
    });
    return peer;
  }

  #scheduleStatus(): void {
    this.#statusTimer?.cancel();
    this.#statusTimer = this.#options.clock.after(STATUS_PERIOD_MS, () => {
      void this.#writeStatus().finally(() => {
        if (this.#statusTimer !== undefined) this.#scheduleStatus();
      });
    });
  }

  /** Writes the status when it differs from what was last written. A failure is tried again in the next period. */
  async #writeStatus(): Promise<void> {
    const object = this.#object;
    // Without a peer or a problem another replica holds the Lease: the status is its to write.
    if (object === undefined || this.#writing || (this.#peer === undefined && this.#problem === undefined))
      return;
    const previous = this.#written ?? object.status;
    const status = this.#nextStatus(object, previous);
    if (sameStatus(status, previous)) return;
    const { client, log } = this.#options;
    this.#writing = true;
    try {
      const ref = { namespace: object.metadata?.namespace ?? '', name: object.metadata?.name ?? '' };
      await client.patch(links, ref, { status }, { type: 'merge', subresource: 'status' });
      this.#written = status;
    } catch (error) {
      log.debug({ err: error }, 'link status not written');
    } finally {
      this.#writing = false;
    }
  }

  #nextStatus(object: LinkObject, previous: LinkStatus | undefined): LinkStatus {
    const wanted = linkConditions(
      { problem: this.#problem, peer: this.#peer },
      object.metadata?.generation ?? 0,
    );
    return {
      conditions: nextConditions(previous?.conditions, wanted, this.#options.clock.now()),
      mirrorCount: this.#peer?.mirrorCount ?? 0,
    };
  }
}

function sameStatus(status: LinkStatus, previous: LinkStatus | undefined): boolean {
  return isDeepStrictEqual(status, { conditions: previous?.conditions, mirrorCount: previous?.mirrorCount });
}

function basisOf(object: LinkObject, secret: V1Secret | undefined, rival: string | undefined): Basis {
  return {
    spec: object.spec,
    dataPath: object.metadata?.annotations?.[DATA_PATH],
    kubeconfig:
      secret === undefined
        ? undefined
        : `${secret.type ?? ''} ${secret.data?.[CREDENTIALS_SECRET_KEY] ?? ''}`,
    rival,
  };
}

/** Everything that must hold before a Link can run. @throws LinkspanError with the first thing that does not */
function check(
  object: LinkObject,
  secret: V1Secret | undefined,
  rival: string | undefined,
): { link: Link; access: ClusterAccess } {
  const verdict = parseLink(object);
  const where = `Link ${object.metadata?.namespace ?? ''}/${object.metadata?.name ?? ''}`;
  if (!verdict.ok) {
    const problems = verdict.problems.map(({ field, problem }) => `${field} ${problem}`).join('; ');
    throw new LinkspanError('LINK_INVALID', `${where}: ${problems}`);
  }
  if (rival !== undefined) {
    const cluster = verdict.link.targetClusterName;
    throw new LinkspanError(
      'LINK_DUPLICATE',
      `${where}: the older Link "${rival}" already names the cluster "${cluster}"`,
    );
  }
  if (secret === undefined) {
    const name = `${verdict.link.namespace}/${verdict.link.credentialsSecret}`;
    throw new LinkspanError(
      'CREDENTIALS_MISSING',
      `${where}: there is no Secret ${name} of type ${CREDENTIALS_SECRET_TYPE}`,
    );
  }
  return { link: verdict.link, access: accessFromSecret(secret) };
}

import type { V1Pod } from '@kubernetes/client-node';
import { CONTROL_PLANE_LABEL } from '../api/names.ts';
import { POLICY_GROUP } from '../api/linkerd/linkerd-kinds.ts';
import type { Random } from '../base/backoff.ts';
import { sleep, type Clock } from '../base/clock.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import type { MeshEndpoint } from '../exports/target-endpoint.ts';
import { isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { Reflector } from '../kube/informer/reflector.ts';
import { newest } from '../kube/objects/resource-version.ts';
import { pods } from '../api/kubernetes/resource.ts';
import { IndexedStore } from '../kube/informer/store.ts';
import type { Health } from '../telemetry/admin.ts';
import type { Logger } from '../telemetry/log.ts';
import { addressesOf, meshEndpoint, storedMeshPod } from './mesh-pod.ts';

export interface MeshSettings {
  /**
   * Namespace of the control plane whose pods are reached by mTLS; pods of another control plane are reached
   * without, as Linkerd's proxies do.
   */
  readonly controlNamespace: string;
  /** Trust domain of pods whose proxy does not name one. */
  readonly trustDomain: string;
  /** Whether to watch pods only while Linkerd is installed; default false: always. */
  readonly detect?: boolean;
}

export interface MeshPodsOptions extends MeshSettings {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const BY_ADDRESS = 'address';
/** API group of Linkerd's policies; every account may ask whether it is served. */
const LINKERD_API = `/apis/${POLICY_GROUP}`;
const LOOK_AGAIN_MS = 60_000;

/**
 * The pods of a cluster that have a Linkerd proxy, by address. One watch, selected by label at the API
 * server, so that a cluster without Linkerd costs nothing.
 */
export class MeshPods {
  readonly #options: MeshPodsOptions;
  readonly #store = new IndexedStore<V1Pod>({ [BY_ADDRESS]: addressesOf });
  readonly #reflector: Reflector<V1Pod>;
  readonly #stop = new AbortController();
  #looking: Promise<void> | undefined;
  /** Whether Linkerd is installed; undefined until that is known. */
  #installed: boolean | undefined;

  /** @param onChange called with the addresses of pods that came, changed or went */
  constructor(options: MeshPodsOptions, onChange: (addresses: readonly string[]) => void) {
    this.#options = options;
    const { client, clock, random, log, controlNamespace } = options;
    this.#reflector = new Reflector<V1Pod>({
      client,
      clock,
      random,
      log,
      resource: pods,
      store: this.#store,
      labelSelector: `${CONTROL_PLANE_LABEL}=${controlNamespace}`,
      transform: storedMeshPod,
    });
    this.#store.subscribe('targets: pods of the mesh', ({ object, previous }) =>
      onChange([...addressesOf(object), ...(previous === undefined ? [] : addressesOf(previous))]),
    );
  }

  start(): void {
    this.#looking ??= this.#begin();
  }

  /** How to speak to a port of the pod at an address; undefined = plainly. */
  endpoint(address: string, port: number): MeshEndpoint | undefined {
    // Two pods may briefly have one address, because the watch has not reported the end of the older one yet.
    const pod = newest(this.#store.byIndex(BY_ADDRESS, address));
    return pod === undefined ? undefined : meshEndpoint(pod, port, this.#options.trustDomain);
  }

  /**
   * Ok once the pods are known, or that Linkerd is not installed. Also ok, with a reason, when they cannot be
   * listed: plain endpoints are served without them.
   */
  get ready(): Health {
    const { synced, error } = this.#reflector;
    if (this.#installed === false || synced) return { ok: true, reason: '' };
    if (error === undefined) return { ok: false, reason: 'meshed pods are being listed' };
    return { ok: true, reason: `meshed pods are not known, and spoken to plainly: ${messageOf(error)}` };
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await Promise.all([this.#looking, this.#reflector.stop()]);
  }

  async #begin(): Promise<void> {
    const { clock, detect = false, log } = this.#options;
    const { signal } = this.#stop;
    let found = !detect;
    while (!found) {
      found = await this.#detect();
      if (!found) await sleep(clock, LOOK_AGAIN_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
    }
    this.#installed = true;
    if (detect) log.info('Linkerd is installed, its pods are spoken to as a mesh');
    this.#reflector.start();
  }

  async #detect(): Promise<boolean> {
    const { client, log } = this.#options;
    try {
      await client.raw('GET', LINKERD_API, { signal: this.#stop.signal });
      return true;
    } catch (error) {
      // Asked again later; the gateway does not wait for it.
      if (!isNotFound(error) && !this.#stop.signal.aborted)
        log.warn({ err: error }, 'whether Linkerd is installed is not known');
      this.#installed = false;
      return false;
    }
  }
}

import type { V1Pod } from '@kubernetes/client-node';
import { CONTROL_PLANE_LABEL } from '../api/names.ts';
import { POLICY_GROUP } from '../api/linkerd/policy-kinds.ts';
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
   * Namespace of the control plane whose pods are spoken to as a mesh; those of another one are plain, as for
   * Linkerd's proxies.
   */
  readonly controlNamespace: string;
  /** Of pods whose proxy does not say it. */
  readonly trustDomain: string;
  /**
   * Whether to look first if Linkerd is installed, and to watch nothing as long as it is not; default false.
   */
  readonly detect?: boolean;
}

export interface MeshPodsOptions extends MeshSettings {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const BY_ADDRESS = 'address';
/** The API group of Linkerd's policies: every account may ask whether it is served. */
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
  /** Whether there is anything to watch; undefined until that is known. */
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
    // For a moment two pods may have an address: one that has ended without the watch having said so. The
    // younger one has it.
    const pod = newest(this.#store.byIndex(BY_ADDRESS, address));
    return pod === undefined ? undefined : meshEndpoint(pod, port, this.#options.trustDomain);
  }

  /**
   * Ok once the pods are known, or that there are none; and when they cannot be had, for then others must not
   * wait for them: the reason says so.
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
      // Whoever cannot be asked now will be asked again; meanwhile nobody waits.
      if (!isNotFound(error) && !this.#stop.signal.aborted)
        log.warn({ err: error }, 'whether Linkerd is installed is not known');
      this.#installed = false;
      return false;
    }
  }
}

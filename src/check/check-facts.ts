import { componentSelector } from '../api/installed-labels.ts';
import type {
  V1ConfigMap,
  V1CustomResourceDefinition,
  V1Deployment,
  V1Pod,
  V1Secret,
  V1Service,
} from '@kubernetes/client-node';
import { LINK_CRD, type LinkObject, links } from '../api/link/link-schema.ts';
import { MIRRORED_SELECTOR } from '../api/mirror/mirror-labels.ts';
import { ADMIN_PORT_NAME, OURS, PROBE_PORT_NAME } from '../api/names.ts';
import { KubeApiError, type KubeClient, orUndefined } from '../kube/client/kube-client.ts';
import { askPod } from '../kube/client/pod-proxy.ts';
import {
  configMaps,
  customResourceDefinitions,
  deployments,
  type KubeObject,
  type ObjectRef,
  pods,
  type Resource,
  secrets,
  services,
} from '../api/kubernetes/resource.ts';
import type { GatewayTry, LinkReport } from '../api/answers/admin-answers.ts';

/** The controllers' answers about probes that they have just sent. */
export interface GatewayProbeAnswers {
  readonly tries: readonly GatewayTry[];
  /** Replicas that did not answer, and why. */
  readonly failures: readonly string[];
}

/**
 * The objects and reports that checks look at. Each is read when it is first needed, cached, and read again
 * after `forget`, as for a retry.
 */
export class CheckFacts {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly linkerdNamespace: string;
  /** Version of this program. */
  readonly version: string;
  /** Timeout for one target, milliseconds. */
  readonly targetMs: number;
  /** Lets every controller probe every gateway address now. */
  readonly tryGateways: () => Promise<GatewayProbeAnswers>;
  readonly #ask: () => Promise<readonly LinkReport[]>;
  #links: Promise<readonly LinkObject[]> | undefined;
  #reports: Promise<readonly LinkReport[]> | undefined;

  constructor(options: {
    readonly client: KubeClient;
    readonly namespace: string;
    readonly linkerdNamespace: string;
    readonly version: string;
    /** Asks the controllers for the reports of their Links. */
    readonly ask: () => Promise<readonly LinkReport[]>;
    readonly tryGateways: () => Promise<GatewayProbeAnswers>;
    readonly targetMs: number;
  }) {
    this.client = options.client;
    this.namespace = options.namespace;
    this.linkerdNamespace = options.linkerdNamespace;
    this.version = options.version;
    this.#ask = options.ask;
    this.tryGateways = options.tryGateways;
    this.targetMs = options.targetMs;
  }

  /** Clears the cache, so that everything is read again. */
  forget(): void {
    this.#links = undefined;
    this.#reports = undefined;
  }

  links(): Promise<readonly LinkObject[]> {
    this.#links ??= orUndefined(this.client.list(links, { namespace: this.namespace })).then(
      (found) => found?.items ?? [],
    );
    return this.#links;
  }

  reports(): Promise<readonly LinkReport[]> {
    this.#reports ??= this.#ask();
    return this.#reports;
  }

  crd(): Promise<V1CustomResourceDefinition | undefined> {
    return this.find(customResourceDefinitions, { name: LINK_CRD });
  }

  async deployments(): Promise<readonly V1Deployment[]> {
    return (await this.client.list(deployments, { namespace: this.namespace, labelSelector: OURS })).items;
  }

  async pods(component: string): Promise<readonly V1Pod[]> {
    const labelSelector = componentSelector(component);
    return (await this.client.list(pods, { namespace: this.namespace, labelSelector })).items;
  }

  async mirrors(): Promise<readonly V1Service[]> {
    return (await this.client.list(services, { labelSelector: MIRRORED_SELECTOR })).items;
  }

  secret(name: string): Promise<V1Secret | undefined> {
    return this.find(secrets, { namespace: this.namespace, name });
  }

  configMap(ref: ObjectRef): Promise<V1ConfigMap | undefined> {
    return this.find(configMaps, ref);
  }

  /** An object, or undefined where there is none. */
  find<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef): Promise<T | undefined> {
    return orUndefined(this.client.get(resource, ref));
  }

  /**
   * A `GET` to a port of a pod, through the API server.
   * @returns status and body, also of failures
   */
  async askPod(
    pod: string,
    port: number,
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly status: number; readonly body: string }> {
    try {
      const body = await askPod(this.client, { namespace: this.namespace, pod, port }, path, signal);
      return { status: 200, body: typeof body === 'string' ? body : JSON.stringify(body) };
    } catch (error) {
      if (error instanceof KubeApiError) return { status: error.status, body: error.answer };
      throw error;
    }
  }
}

/** Whether a pod runs and is not being deleted, so that it can be asked. */
export function isRunning({ status, metadata }: V1Pod): boolean {
  return status?.phase === 'Running' && metadata?.deletionTimestamp === undefined;
}

/** Names of the admin port, now and in pods of version 0.1 and before. */
const ADMIN_PORT_NAMES = [ADMIN_PORT_NAME, 'admin', PROBE_PORT_NAME];

/** Number of the admin port of a Linkspan pod; 0 where it has none. */
export function adminPortOf(pod: V1Pod): number {
  return ADMIN_PORT_NAMES.map((name) => portOf(pod, name)).find((port) => port > 0) ?? 0;
}

/** Number of the pod's port of this name; 0 where it has none. */
function portOf(pod: V1Pod, name: string): number {
  const ports = (pod.spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  return ports.find((one) => one.name === name)?.containerPort ?? 0;
}

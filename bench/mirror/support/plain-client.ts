import { Agent } from 'undici';
import { loadAccess } from '../../../src/kube/client/access.ts';
import {
  type KubeObject,
  type ObjectRef,
  pathOf,
  type Resource,
} from '../../../src/api/kubernetes/resource.ts';
import { PARALLEL } from './parallel.ts';

/**
 * Requests and nothing else, over as many connections as there are requests under way, which stay open. What
 * is measured against must not share the faults of the product's own client. (undici closes a connection
 * after a DELETE with a body unless `reset` is false.)
 */
export class PlainClient {
  readonly #server: string;
  readonly #agent: Agent;

  constructor(kubeconfigFile: string) {
    const { server, ca, cert, key } = loadAccess({ file: kubeconfigFile });
    this.#server = server;
    this.#agent = new Agent({
      connections: PARALLEL,
      connect: { ca: ca ?? '', cert: cert ?? '', key: key ?? '' },
    });
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    const { namespace = '' } = object.metadata ?? {};
    return this.#send('POST', pathOf(resource, { namespace }), object) as Promise<T>;
  }

  async mergePatch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    patch: object,
  ): Promise<void> {
    await this.#send('PATCH', pathOf(resource, ref), patch, 'application/merge-patch+json');
  }

  async delete<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef, uid: string): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' };
    await this.#send('DELETE', pathOf(resource, ref), { ...body, preconditions: { uid } });
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #send(
    method: 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body: object,
    contentType = 'application/json',
  ): Promise<unknown> {
    const response = await this.#agent.request({
      origin: this.#server,
      path,
      method,
      reset: false,
      headers: { accept: 'application/json', 'content-type': contentType },
      body: JSON.stringify(body),
    });
    const answer = await response.body.text();
    if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.slice(0, 300)}`);
    return JSON.parse(answer);
  }
}

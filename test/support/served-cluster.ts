import type { V1Pod } from '@kubernetes/client-node';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeObject, ObjectRef, Resource } from '../../src/api/kubernetes/resource.ts';
import type { KubeClient } from '../../src/kube/client/kube-client.ts';
import { apiError, type FakeCluster } from './fake-cluster.ts';

/** Versions and plurals of API groups that are installed, by group. */
export type InstalledGroups = Readonly<
  Record<string, readonly [version: string, plurals: readonly string[]]>
>;

/** A path of an API server: a collection, or one object and a part of it. */
interface Place {
  readonly resource: Resource<KubeObject>;
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
}

const PLACE =
  /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+)(?=\/))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/;

const POD_PAGE = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/:]+):(\d+)\/proxy(\/.*)$/;

/**
 * A cluster in memory behind a socket, for programs that are processes of their own: what an API server would
 * say, without what it would cost.
 */
export class ServedCluster {
  readonly #cluster: FakeCluster;
  readonly #groups: InstalledGroups;
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #client: KubeClient;
  /** How often each object was written, as `plural namespace/name`; its status counts by itself. */
  readonly writes = new Map<string, number>();
  /** Whether nobody may ask pods through the API server. */
  forbidPods = false;
  /** Requests that came while nothing was answered. */
  waiting = 0;
  #open: Promise<void> | undefined;

  constructor(cluster: FakeCluster, groups: InstalledGroups) {
    this.#cluster = cluster;
    this.#groups = groups;
    this.#client = cluster.client;
  }

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Answers nothing more until what it returns is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#open = promise;
    this.waiting = 0;
    return () => {
      this.#open = undefined;
      resolve();
    };
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    response.setHeader('content-type', 'application/json');
    try {
      if (this.#open !== undefined) this.waiting++;
      await this.#open;
      const url = new URL(request.url ?? '/', 'http://x');
      const found = await this.#say(request, url, response);
      if (found !== undefined) response.end(JSON.stringify(found));
    } catch (error) {
      const { status = 500, reason } = error as { readonly status?: number; readonly reason?: string };
      response.statusCode = status;
      response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code: status, reason }));
    }
  }

  /** @returns undefined: it has been answered */
  async #say(request: IncomingMessage, url: URL, response: ServerResponse): Promise<object | undefined> {
    const known = this.#discovery(url.pathname);
    if (known !== undefined) return known;
    const page = await this.#podPage(url);
    if (page !== undefined) return page;
    const place = placeOf(url.pathname);
    if (place === undefined) throw apiError(404, 'NotFound');
    const { resource, namespace, name } = place;
    if (name !== undefined) return this.#one(request, place, { name, ...(namespace && { namespace }) });
    if (request.method === 'POST') {
      const object = await bodyOf(request);
      this.#count(place, object.metadata?.name);
      return this.#client.create(resource, madeBy(object, url.searchParams.get('fieldManager')));
    }
    const selection = selectionOf(url, namespace);
    if (url.searchParams.get('watch') !== 'true') return this.#list(resource, url, selection);
    await this.#watch(resource, { url, selection, response });
    return undefined;
  }

  /** What a pod answers that is asked through the API server. */
  async #podPage({ pathname, search }: URL): Promise<object | undefined> {
    const [, namespace = '', name = '', port = '', page = ''] = POD_PAGE.exec(pathname) ?? [];
    if (name === '') return undefined;
    if (this.forbidPods) throw apiError(403, 'Forbidden');
    const pod = this.#cluster.find('pods', { namespace, name }) as V1Pod | undefined;
    if (pod === undefined) throw apiError(404, 'NotFound');
    try {
      const answer = await fetch(`http://${pod.status?.podIP}:${port}${page}${search}`);
      return (await answer.json()) as object;
    } catch {
      // As an API server says it of a pod that does not answer.
      throw apiError(503, 'ServiceUnavailable');
    }
  }

  #discovery(path: string): object | undefined {
    if (path === '/version') return { gitVersion: 'v1.33.0' };
    if (path.endsWith('/services/kubernetes'))
      return { metadata: { name: 'kubernetes', namespace: 'default', uid: 'served' } };
    const [, apis, group = '', version, ...more] = path.split('/');
    if (apis !== 'apis' || more.length > 0) return undefined;
    const [served, plurals = []] = this.#groups[group] ?? [];
    if (served === undefined) throw apiError(404, 'NotFound');
    if (version === undefined) return { versions: [{ version: served }] };
    return { resources: plurals.map((name) => ({ name })) };
  }

  async #one(request: IncomingMessage, place: Place, ref: ObjectRef): Promise<object> {
    const { resource, subresource } = place;
    switch (request.method) {
      case 'PATCH': {
        this.#count(place);
        const patch = await bodyOf(request);
        const how = subresource === undefined ? {} : ({ subresource: 'status' } as const);
        return this.#client.patch(resource, ref, patch, { type: 'merge', ...how });
      }
      case 'PUT': {
        this.#count(place);
        const object = await bodyOf(request);
        const { metadata } = await this.#client.get(resource, ref);
        const wanted = object.metadata?.resourceVersion;
        if (wanted !== undefined && wanted !== metadata?.resourceVersion) throw apiError(409, 'Conflict');
        this.#cluster.put(resource.plural, object);
        return this.#client.get(resource, ref);
      }
      case 'DELETE':
        this.#count(place);
        return (await this.#client.delete(resource, ref)) ?? { kind: 'Status', status: 'Success' };
      default:
        return this.#client.get(resource, ref);
    }
  }

  async #list(resource: Resource<KubeObject>, url: URL, selection: object): Promise<object> {
    const { items, resourceVersion } = await this.#client.list(resource, selection);
    const from = Number(url.searchParams.get('continue') ?? 0);
    const end = from + Number(url.searchParams.get('limit') ?? items.length);
    const more = end < items.length ? { continue: String(end) } : {};
    return { metadata: { resourceVersion, ...more }, items: items.slice(from, end) };
  }

  async #watch(
    resource: Resource<KubeObject>,
    { url, selection, response }: { url: URL; selection: object; response: ServerResponse },
  ): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    response.flushHeaders();
    const resourceVersion = url.searchParams.get('resourceVersion') ?? '';
    const timeoutSeconds = Number(url.searchParams.get('timeoutSeconds') ?? 0);
    const options = { ...selection, resourceVersion, timeoutSeconds, signal: gone.signal };
    for await (const event of this.#client.watch(resource, options))
      response.write(`${JSON.stringify(event)}\n`);
    response.end();
  }

  #count({ resource, namespace = '', name: placed, subresource }: Place, name = placed ?? ''): void {
    const kind = subresource === undefined ? resource.plural : `${resource.plural}/${subresource}`;
    const what = `${kind} ${namespace}/${name}`;
    this.writes.set(what, (this.writes.get(what) ?? 0) + 1);
  }
}

function placeOf(path: string): Place | undefined {
  const [, group = '', version = '', namespace, plural = '', name, subresource] = PLACE.exec(path) ?? [];
  if (plural === '') return undefined;
  const resource = { group, version, kind: plural, plural, namespaced: namespace !== undefined };
  return {
    resource,
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(subresource === undefined ? {} : { subresource }),
  };
}

/** Who made it stays on record, whatever others write over it later. */
function madeBy(object: KubeObject, manager: string | null): KubeObject {
  return manager === null
    ? object
    : { ...object, metadata: { ...object.metadata, managedFields: [{ manager }] } };
}

function selectionOf(url: URL, namespace: string | undefined): object {
  const given = ['labelSelector', 'fieldSelector'].flatMap((name) => {
    const value = url.searchParams.get(name);
    return value === null ? [] : [[name, value]];
  });
  return { ...Object.fromEntries(given), ...(namespace === undefined ? {} : { namespace }) };
}

async function bodyOf(request: IncomingMessage): Promise<KubeObject> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as KubeObject;
}

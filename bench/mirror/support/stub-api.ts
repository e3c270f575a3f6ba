/**
 * `node stub-api.ts ADDRESS CLUSTERS SERVICES`: as many API servers as asked for in one process, each below a path of its own (`/s0`, `/s1`, …),
 * each with so many exported Services and their slices. It lists and watches these two, filtered by label and field selectors, and keeps
 * watches open with bookmarks; nothing ever changes and nothing can be written.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeObject } from '../../../src/kube/resource.ts';
import { parseSelector, parseSelectorText } from '../../../src/link/selector.ts';
import { EXPORTED, exportPairs } from './objects.ts';

const VERSION = '1000';
const BOOKMARK_MS = 30_000;
const PATH =
  /^\/s(\d+)\/(?:api\/v1|apis\/discovery\.k8s\.io\/v1)(?:\/namespaces\/([^/]+))?\/(services|endpointslices)(?:\/([^/]+))?$/;

const [address = '', clusters = '1', services = '1'] = process.argv.slice(2);
const content = Array.from({ length: Number(clusters) }, (_, n) => cluster(n, Number(services)));

function cluster(n: number, count: number): Record<string, readonly KubeObject[]> {
  const pairs = exportPairs({ prefix: 'svc', count, labels: EXPORTED });
  const stamped = (object: KubeObject, index: number): KubeObject => ({
    ...object,
    metadata: { ...object.metadata, uid: `${n}-${index}`, resourceVersion: VERSION },
  });
  return {
    services: pairs.map(({ service }, index) => stamped(service, index)),
    endpointslices: pairs.map(({ slice }, index) => stamped(slice, index)),
  };
}

const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  const url = new URL(request.url ?? '/', 'http://stub');
  const [, index = '', namespace, plural = '', name] = PATH.exec(url.pathname) ?? [];
  const objects = content[Number(index)]?.[plural];
  if (url.pathname.endsWith('/version')) response.end('{"gitVersion":"v1.34.0"}');
  else if (request.method !== 'GET' || objects === undefined) refuse(response, 404);
  else if (name !== undefined) get(response, Number(index), name);
  else if (url.searchParams.get('watch') === 'true') watch(request, response, plural, url.searchParams);
  else list(response, plural, objects.filter(filterOf(namespace, url.searchParams)));
});
// A watch lives for minutes.
server.requestTimeout = 0;
server.listen(0, address, () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});

function refuse(response: ServerResponse, code: number): void {
  response.statusCode = code;
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, message: 'not in this stub' }));
}

/** The one object that is read by name is `default/kubernetes`, whose UID is the identity of a cluster. */
function get(response: ServerResponse, index: number, name: string): void {
  if (name === 'kubernetes') response.end(JSON.stringify({ metadata: { name, uid: `cluster-${index}` } }));
  else refuse(response, 404);
}

function filterOf(namespace: string | undefined, query: URLSearchParams): (object: KubeObject) => boolean {
  const text = query.get('labelSelector') ?? '';
  const labels = text === '' ? undefined : parseSelector(parseSelectorText(text));
  const name = /^metadata\.name=(.*)$/.exec(query.get('fieldSelector') ?? '')?.[1];
  return ({ metadata }) =>
    (namespace === undefined || metadata?.namespace === namespace) &&
    (labels === undefined || labels.matches(metadata?.labels)) &&
    (name === undefined || metadata?.name === name);
}

function list(response: ServerResponse, plural: string, items: readonly KubeObject[]): void {
  const kind = plural === 'services' ? 'ServiceList' : 'EndpointSliceList';
  response.end(JSON.stringify({ kind, metadata: { resourceVersion: VERSION }, items }));
}

function watch(
  request: IncomingMessage,
  response: ServerResponse,
  plural: string,
  query: URLSearchParams,
): void {
  const kind = plural === 'services' ? 'Service' : 'EndpointSlice';
  const object = { kind, metadata: { resourceVersion: VERSION } };
  const bookmark = () => response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  response.flushHeaders();
  const bookmarks = setInterval(bookmark, BOOKMARK_MS);
  const end = setTimeout(() => response.end(), Number(query.get('timeoutSeconds') ?? 300) * 1000);
  request.socket.setNoDelay(true);
  response.on('close', () => {
    clearInterval(bookmarks);
    clearTimeout(end);
  });
}

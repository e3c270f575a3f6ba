/**
 * `node stub-api.ts PKI ADDRESS CLUSTERS EXPORTED OTHERS ADDRESSES`: as many API servers as asked for in one
 * process, each below a path of its own (`/s0`, `/s1`, …), with `server.crt` and `server.key` of the folder
 * PKI, each with so many exported and so many other Services, their slices having so many addresses. It lists
 * (in pages) and watches these two kinds, filtered by label and field selectors, and keeps watches open with
 * bookmarks; nothing ever changes and nothing can be written.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { KubeObject } from '../../../src/api/kubernetes/resource.ts';
import { parseSelector, parseSelectorText } from '../../../src/api/kubernetes/label-selector.ts';
import { EXPORTED, exportPairs } from './objects.ts';

const VERSION = '1000';
const BOOKMARK_MS = 30_000;
const PATH =
  /^\/s(\d+)\/(?:api\/v1|apis\/discovery\.k8s\.io\/v1)(?:\/namespaces\/([^/]+))?\/(services|endpointslices)(?:\/([^/]+))?$/;

/** About what an API server records of two writers of a Service. */
const MANAGED_FIELDS = ['kube-controller-manager', 'kubectl-client-side-apply'].map((manager) => ({
  manager,
  operation: 'Update',
  apiVersion: 'v1',
  fieldsType: 'FieldsV1',
  fieldsV1: {
    'f:metadata': { 'f:labels': { '.': {}, 'f:app': {}, 'f:team': {} } },
    'f:spec': {
      'f:internalTrafficPolicy': {},
      'f:ports': { '.': {}, 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:name': {}, 'f:port': {} } },
      'f:selector': {},
      'f:sessionAffinity': {},
      'f:type': {},
    },
  },
}));

const [pki = '', address = '', ...numbers] = process.argv.slice(2);
const [clusters = 1, exported = 1, others = 0, addresses = 1] = numbers.map(Number);
const content = Array.from({ length: clusters }, (_, n) => cluster(n));

function cluster(n: number): Record<string, readonly KubeObject[]> {
  const pairs = [
    ...exportPairs({ prefix: 'svc', count: exported, labels: EXPORTED, addresses }),
    ...exportPairs({ prefix: 'other', count: others, addresses }),
  ];
  const stamped = (object: KubeObject, index: number): KubeObject => ({
    ...object,
    metadata: {
      ...object.metadata,
      uid: `5f1ab9a4-9d2b-4f7c-${n}-${index}`,
      resourceVersion: VERSION,
      managedFields: MANAGED_FIELDS,
    },
  });
  return {
    services: pairs.map(({ service }, index) => stamped(service, index)),
    endpointslices: pairs.map(({ slice }, index) => stamped(slice, index)),
  };
}

const pem = (name: string) => readFileSync(path.join(pki, name));
const tls = { cert: pem('server.crt'), key: pem('server.key') };
const server = createServer(tls, (request, response) => {
  response.setHeader('content-type', 'application/json');
  const url = new URL(request.url ?? '/', 'https://stub');
  const [, index = '', namespace, plural = '', name] = PATH.exec(url.pathname) ?? [];
  const objects = content[Number(index)]?.[plural];
  if (url.pathname.endsWith('/version')) response.end('{"gitVersion":"v1.34.0"}');
  else if (request.method !== 'GET' || objects === undefined) refuse(response, 404);
  else if (name !== undefined) get(response, Number(index), name);
  else if (url.searchParams.get('watch') === 'true') watch(request, response, plural, url.searchParams);
  else list(response, plural, objects.filter(filterOf(namespace, url.searchParams)), url.searchParams);
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

/** The token of the next page is the index at which it begins. */
function list(
  response: ServerResponse,
  plural: string,
  objects: readonly KubeObject[],
  query: URLSearchParams,
): void {
  const from = Number(query.get('continue') ?? 0);
  const to = from + (Number(query.get('limit') ?? 0) || objects.length);
  const more = to < objects.length ? { continue: String(to) } : {};
  const kind = plural === 'services' ? 'ServiceList' : 'EndpointSliceList';
  const metadata = { resourceVersion: VERSION, ...more };
  response.end(JSON.stringify({ kind, metadata, items: objects.slice(from, to) }));
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

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { systemClock, type Timer } from '../../src/base/clock.ts';

/**
 * What an API server does that means harm, to whoever lists its Services; everything else it answers in
 * order.
 */
export type Hostility =
  /** One answer that never ends, of small Services. */
  | 'endless body'
  /** One Service whose annotation never ends. */
  | 'endless value'
  /** Pages that hold nothing and always name a next one. */
  | 'endless pages'
  /** A million Services, in pages. */
  | '10^6 Services'
  /** A Service of a few bytes a value, which takes twenty times as much when it is parsed. */
  | 'values without end'
  /** A byte now and then. */
  | 'slow body'
  /** As much as just fits, all of it other objects each time, and no watch that holds. */
  | 'new lists without end'
  /** 100 Services, of which two hundred a second change. */
  | '200 changes a second';

export interface VirtualApi {
  readonly url: string;
  close(): Promise<void>;
}

export interface HostileApi extends VirtualApi {
  /** Lists of Services that were asked for. */
  readonly lists: number;
  /** Changes that were told so far. */
  readonly changes: number;
}

const VERSION = '1000';
const MILLION = 1_000_000;
/** Services of about 3 KB as they lie in memory, in a namespace that does not exist here. */
const FITTING = 18_000;
let fittingVersion = 0;
const BYTE_MS = 50;
const CHANGE_MS = 5;

/**
 * An API server in this process that makes up what it serves while it is asked, so that it costs nothing here
 * however much it is.
 */
export async function hostileApi(hostility: Hostility): Promise<HostileApi> {
  let lists = 0;
  let told = 0;
  const timers = new Set<Timer>();
  const api = await virtualApi({
    list: (url, response) => {
      lists++;
      return list(hostility, url, response);
    },
    watch: (response) => {
      if (hostility === '200 changes a second') changes(response, timers, () => told++);
      else if (hostility === 'new lists without end')
        response.end('{"type":"ERROR","object":{"code":410,"reason":"Expired"}}\n');
    },
  });
  return {
    ...api,
    get lists() {
      return lists;
    },
    get changes() {
      return told;
    },
    close: () => {
      for (const timer of timers) timer.cancel();
      return api.close();
    },
  };
}

/** An API server in order, with ten Services whose port can be changed. */
export async function healthyApi(): Promise<VirtualApi & { change(port: number): void }> {
  const COUNT = 10;
  const watches = new Set<ServerResponse>();
  let port = 80;
  let version = Number(VERSION);
  const texts = () => Array.from({ length: COUNT }, (_, at) => serviceText(at, port, version));
  const tell = (watch: ServerResponse) => {
    for (const text of texts()) watch.write(`{"type":"MODIFIED","object":${text}}\n`);
  };
  const api = await virtualApi({
    list: (_, response) => {
      response.end(`{"metadata":{"resourceVersion":"${version}"},"items":[${texts().join()}]}`);
      return Promise.resolve();
    },
    watch: (response, since) => {
      if (since !== String(version)) tell(response);
      watches.add(response);
      response.once('close', () => watches.delete(response));
    },
  });
  return {
    ...api,
    change: (next) => {
      port = next;
      version++;
      for (const watch of watches) tell(watch);
    },
  };
}

interface Answers {
  list(url: URL, response: ServerResponse): Promise<void>;
  /** A watch of Services has begun, from a version. */
  watch(response: ServerResponse, since: string | null): void;
}

async function virtualApi(answers: Answers): Promise<VirtualApi> {
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    void serve(answers, request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function serve(answers: Answers, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://x');
  const isServices = url.pathname === '/api/v1/services';
  response.setHeader('content-type', 'application/json');
  if (url.searchParams.get('watch') === 'true') {
    response.flushHeaders();
    if (isServices) answers.watch(response, url.searchParams.get('resourceVersion'));
  } else if (isServices) await answers.list(url, response);
  else if (url.pathname === '/version') response.end('{"gitVersion":"v1.33.0"}');
  else if (url.pathname.endsWith('/kubernetes'))
    response.end(JSON.stringify({ metadata: { name: 'kubernetes', uid: 'virtual' } }));
  else response.end(JSON.stringify({ metadata: { resourceVersion: VERSION }, items: [] }));
}

async function list(hostility: Hostility, url: URL, response: ServerResponse): Promise<void> {
  const limit = Number(url.searchParams.get('limit') ?? 500);
  const from = Number(url.searchParams.get('continue') ?? 0);
  const page = (items: readonly string[], next: number | undefined) =>
    response.end(
      `{"metadata":{"resourceVersion":"${VERSION}"${next === undefined ? '' : `,"continue":"${next}"`}},"items":[${items.join()}]}`,
    );
  const head = `{"metadata":{"resourceVersion":"${VERSION}"},"items":[`;
  if (hostility === 'endless pages') page([], from + 1);
  else if (hostility === '10^6 Services') {
    const end = Math.min(MILLION, from + limit);
    page(services(from, end), end < MILLION ? end : undefined);
  } else if (hostility === '200 changes a second') page(services(0, 100), undefined);
  else if (hostility === 'new lists without end') {
    const end = Math.min(FITTING, from + limit);
    page(fittingServices(from, end), end < FITTING ? end : undefined);
  } else if (hostility === 'endless body') {
    response.write(head);
    for (let at = 0; ; at += 100) await write(response, `${services(at, at + 100).join()},`);
  } else if (hostility === 'endless value') {
    response.write(`${head}{"metadata":{"name":"big","namespace":"demo","annotations":{"a":"`);
    for (;;) await write(response, 'x'.repeat(65_536));
  } else if (hostility === 'values without end') {
    response.write(`${head}{"metadata":{"name":"big","namespace":"demo"},"spec":{"ports":[{}`);
    for (;;) await write(response, ',{}'.repeat(20_000));
  } else {
    response.write(head);
    for (const byte of services(0, 500).join()) {
      await write(response, byte);
      await new Promise<void>((resolve) => systemClock.after(BYTE_MS, resolve));
    }
  }
}

/** Waits while the other side takes nothing; ends with an error when it is gone. */
async function write(response: ServerResponse, text: string): Promise<void> {
  if (response.destroyed) throw new Error('the client has gone');
  if (response.write(text)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  response.once('drain', resolve);
  response.once('close', resolve);
  await promise;
  response.off('drain', resolve);
  response.off('close', resolve);
}

function services(from: number, end: number): string[] {
  const texts: string[] = [];
  for (let at = from; at < end; at++) texts.push(serviceText(at, 80, at));
  return texts;
}

function fittingServices(from: number, end: number): string[] {
  fittingVersion++;
  return Array.from({ length: end - from }, (_, at) =>
    JSON.stringify({
      metadata: {
        name: `svc-${from + at}`,
        namespace: 'nowhere',
        uid: `uid-${from + at}`,
        resourceVersion: `${fittingVersion}-${at}`,
        labels: { 'mirror.linkerd.io/exported': 'true' },
        annotations: { note: `${fittingVersion}${'x'.repeat(1700)}` },
      },
      spec: { selector: { app: 'a' }, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
    }),
  );
}

function serviceText(at: number, port: number, version: number): string {
  const metadata = {
    name: `svc-${at}`,
    namespace: `ns-${at % 50}`,
    uid: `uid-${at}`,
    resourceVersion: String(version),
    labels: { 'mirror.linkerd.io/exported': 'true', app: `svc-${at}`, team: `team-${at % 7}` },
    annotations: { owner: `somebody-${at}@example.com` },
  };
  const spec = { selector: { app: `svc-${at}` }, ports: [{ name: 'http', port, protocol: 'TCP' }] };
  return JSON.stringify({ metadata, spec });
}

function changes(response: ServerResponse, timers: Set<Timer>, onChange: () => void): void {
  let version = Number(VERSION);
  const change = (): void => {
    timers.delete(timer);
    if (response.destroyed) return;
    version++;
    onChange();
    const object = serviceText(version % 100, 1024 + (version % 20_000), version);
    response.write(`{"type":"MODIFIED","object":${object}}\n`);
    timer = systemClock.after(CHANGE_MS, change);
    timers.add(timer);
  };
  let timer = systemClock.after(CHANGE_MS, change);
  timers.add(timer);
}

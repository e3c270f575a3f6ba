import { stringify } from 'yaml';

/** An application of every kind, in one process: HTTP/1 with WebSocket-like upgrades (8080), HTTP/2 with gRPC (8081), raw bytes (8082), a server that speaks first (8083). */
const SERVER = `
const http = require('node:http'), http2 = require('node:http2'), net = require('node:net');
const quiet = (s) => s.on('error', () => {});
const h1 = http.createServer((q, r) => q.pipe(r));
h1.on('upgrade', (q, s) => { quiet(s); s.write('HTTP/1.1 101 Switching Protocols\\r\\nconnection: upgrade\\r\\nupgrade: ' + q.headers.upgrade + '\\r\\n\\r\\n'); s.pipe(s); });
h1.listen(8080);
const h2 = http2.createServer();
h2.on('sessionError', () => {});
h2.on('stream', (s, h) => {
  quiet(s);
  const grpc = String(h['content-type']).startsWith('application/grpc');
  s.respond({ ':status': 200, 'content-type': h['content-type'] || 'text/plain' }, { waitForTrailers: grpc });
  s.on('wantTrailers', () => s.sendTrailers({ 'grpc-status': '0' }));
  s.pipe(s);
});
h2.listen(8081);
net.createServer({ allowHalfOpen: true }, (s) => { quiet(s); s.pipe(s); }).listen(8082);
net.createServer({ allowHalfOpen: true }, (s) => { quiet(s); s.write('220 ' + process.env.POD + '\\r\\n'); s.pipe(s); }).listen(8083);
`;

/**
 * A plain client of all of them: sends random bodies, compares what comes back, and says for each protocol how many of how many were right and the median time in milliseconds. Arguments: host, requests,
 * bytes of a body.
 */
const CLIENT = `
const http = require('node:http'), http2 = require('node:http2'), net = require('node:net'), { once } = require('node:events'), { randomBytes } = require('node:crypto');
const [host, requests, bytes] = [process.argv[1], Number(process.argv[2]), Number(process.argv[3])];
const all = async (stream) => { const got = []; for await (const chunk of stream) got.push(chunk); return Buffer.concat(got); };
const agent = new http.Agent({ keepAlive: true });
let session;
const open2 = () => { if (!session || session.destroyed || session.closed) { session = http2.connect('http://' + host + ':81'); session.on('error', () => {}); } return session; };
const kinds = {
  async http1(body) {
    const q = http.request({ host, port: 80, method: 'POST', path: '/', agent }); q.end(body);
    const [r] = await once(q, 'response'); return (await all(r)).equals(body) && r.statusCode === 200;
  },
  async http2(body) {
    const s = open2().request({ ':method': 'POST', ':path': '/' }); s.end(body);
    const [h] = await once(s, 'response'); return (await all(s)).equals(body) && h[':status'] === 200;
  },
  async grpc(body) {
    const s = open2().request({ ':method': 'POST', ':path': '/echo.Echo/Stream', 'content-type': 'application/grpc', te: 'trailers' });
    let trailers = {}; s.on('trailers', (t) => (trailers = t));
    const half = body.length >> 1; s.write(body.subarray(0, half));
    await once(s, 'response'); s.end(body.subarray(half));
    return (await all(s)).equals(body) && trailers['grpc-status'] === '0';
  },
  async http1to2(body) {
    const q = http.request({ host, port: 81, method: 'POST', path: '/', agent }); q.end(body);
    const [r] = await once(q, 'response'); return (await all(r)).equals(body) && r.statusCode === 200;
  },
  async websocket(body) {
    const q = http.request({ host, port: 80, headers: { connection: 'upgrade', upgrade: 'websocket' } }); q.end();
    const [r, s] = await once(q, 'upgrade'); s.end(body); return r.statusCode === 101 && (await all(s)).equals(body);
  },
  async opaque(body) {
    const s = net.connect({ host, port: 82, allowHalfOpen: true }); s.end(body); return (await all(s)).equals(body);
  },
  async serverFirst(body) {
    const s = net.connect({ host, port: 83, allowHalfOpen: true });
    const [greeting] = await once(s, 'data'); if (!String(greeting).startsWith('220 ')) return false;
    s.end(body); return (await all(s)).equals(body);
  },
};
(async () => {
  const result = {};
  for (const [kind, run] of Object.entries(kinds)) {
    const times = []; let right = 0; let why = '';
    const work = Array.from({ length: requests });
    const one = async () => { while (work.pop() !== undefined || work.length > 0) { const t = performance.now(); try { if (await run(randomBytes(bytes))) right++; else why = 'wrong bytes'; } catch (e) { why = String(e); } times.push(performance.now() - t); } };
    const timer = setTimeout(() => { console.log(JSON.stringify({ ...result, [kind]: { right, of: requests, why: 'hangs' } })); process.exit(0); }, 60000);
    await Promise.all(Array.from({ length: 5 }, one)); clearTimeout(timer);
    result[kind] = { right, of: times.length, p50: Math.round(times.sort((a, b) => a - b)[times.length >> 1]), why };
  }
  console.log(JSON.stringify(result)); process.exit(0);
})();
`;

/** In the target: the application, two replicas, exported. It runs in the Linkspan image, which has Node. */
export function protocolManifests(namespace: string, image: string): string {
  const ports = [8080, 8081, 8082, 8083];
  return yaml(
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'protocols', namespace },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: 'protocols' } },
        template: {
          metadata: { labels: { app: 'protocols' } },
          spec: {
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: 'app',
                image,
                command: ['node', '-e', SERVER],
                env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
                ports: ports.map((containerPort) => ({ containerPort })),
                readinessProbe: { tcpSocket: { port: 8083 }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'protocols', namespace, labels: { 'mirror.linkerd.io/exported': 'true' } },
      spec: {
        selector: { app: 'protocols' },
        ports: [
          { name: 'http', port: 80, targetPort: 8080 },
          { name: 'grpc', port: 81, targetPort: 8081, appProtocol: 'kubernetes.io/h2c' },
          { name: 'raw', port: 82, targetPort: 8082, appProtocol: 'tcp' },
          { name: 'first', port: 83, targetPort: 8083, appProtocol: 'linkerd.io/opaque' },
        ],
      },
    },
  );
}

/** In the source: a pod that the client runs in. */
export function protocolClientManifests(namespace: string, image: string): string {
  const wait = 'setInterval(() => {}, 1e9); process.on("SIGTERM", () => process.exit())';
  return yaml({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'client', namespace },
    spec: { containers: [{ name: 'client', image, command: ['node', '-e', wait] }] },
  });
}

/** What to run in that pod. */
export function protocolClientCommand(host: string, requests: number, bytes: number): string[] {
  return ['node', '-e', CLIENT, host, String(requests), String(bytes)];
}

function yaml(...objects: object[]): string {
  return objects.map((object) => stringify(object)).join('---\n');
}

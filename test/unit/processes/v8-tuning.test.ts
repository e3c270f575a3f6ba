import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.join(import.meta.dirname, '../../..');
const TUNING = new URL('../../../src/processes/v8-tuning.ts', import.meta.url).href;
const CONNECTION = new URL('../../../src/proxy/io/socket-connection.ts', import.meta.url).href;

// A controller that favours size from its first moment collects 60 times while it starts; one that never does
// keeps what its start has made V8 take.
describe('what a start has made V8 take', () => {
  // In the middle of an import of a thousand Services everything stood still for half a second.
  it('is given back when the start is over and there is little to do, and not before', () => {
    const script = `
      const { giveBackAfterStart } = await import(${JSON.stringify(TUNING)});
      const v8 = await import('node:v8');
      const young = () => v8.getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space').space_size;
      let kept = [];
      const start = () => {
        for (let round = 0; round < 20; round++) kept = Array.from({ length: 100_000 }, (_, nth) => ({ nth }));
      };
      let [later, wait, share] = [undefined, 0, 1];
      const clock = { after: (ms, fn) => { wait += ms; later = fn; return { cancel() {} }; } };
      giveBackAfterStart(clock, () => share);
      start();
      const [before, heapBefore] = [young(), process.memoryUsage().heapTotal];
      kept = [];
      later();
      const settled = wait;
      for (let look = 0; look < 3; look++) later();
      const [busy, looked] = [young(), wait - settled];
      share = 0.1;
      later();
      console.log(JSON.stringify({ before, busy, settled, looked, after: young(), heapBefore, heapAfter: process.memoryUsage().heapTotal, gc: typeof globalThis.gc }));`;
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    const { before, busy, settled, looked, after, heapBefore, heapAfter, gc } = JSON.parse(said) as Record<
      string,
      number
    >;
    expect(before).to.be.above(8 * 1024 * 1024);
    expect(settled).to.equal(10_000);
    expect(busy).to.equal(before);
    expect(looked).to.equal(3000);
    expect(after).to.be.below(Number(before) / 3);
    expect(heapAfter).to.be.below(Number(heapBefore) - 8 * 1024 * 1024);
    expect(gc).to.equal('undefined');
  });
});

/** Bytes that are read from sockets: what V8 counts as external is 64 MB many times over. */
const READ_MB = 768;
/** Bytes that are in hand at any time. */
const HELD_MB = 8;

// Raw flows through a gateway on Node stopped all others for 30 to 90 ms, several times a second: 64 MB of
// memory that reads came in made V8 collect its whole heap, although young collections would have freed it.
describe('collections of a process that carries traffic', () => {
  it('are young ones, however much is read', function () {
    this.timeout(120_000);
    const script = `
      const { tuneForTraffic } = await import(${JSON.stringify(TUNING)});
      const { PerformanceObserver, constants } = await import('node:perf_hooks');
      const { Worker } = await import('node:worker_threads');
      const net = await import('node:net');
      const { once } = await import('node:events');
      tuneForTraffic();
      // A young generation as it is after other traffic: few young collections.
      let kept = [];
      for (let round = 0; round < 20; round++) kept = Array.from({ length: 100_000 }, (_, nth) => ({ nth }));
      let [full, young] = [0, 0];
      const observer = new PerformanceObserver((list) => count(list.getEntries()));
      const count = (entries) => {
        for (const { detail } of entries)
          if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) full++; else young++;
      };
      observer.observe({ entryTypes: ['gc'] });
      const server = net.createServer();
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      new Worker(
        "const { port, mb } = require('node:worker_threads').workerData;" +
        "const socket = require('node:net').connect(port, '127.0.0.1');" +
        "const chunk = Buffer.alloc(1024 * 1024); let left = mb;" +
        "const more = () => { while (left > 0) { left--; if (!socket.write(chunk)) return; } socket.end(); };" +
        "socket.on('drain', more); more();",
        { eval: true, execArgv: [], workerData: { port: server.address().port, mb: ${READ_MB} } },
      );
      const [socket] = await once(server, 'connection');
      const { SocketConnection } = await import(${JSON.stringify(CONNECTION)});
      const connection = new SocketConnection(socket);
      let [bytes, resident] = [0, 0];
      const held = [];
      await new Promise((ended) => {
        connection.handler = {
          onData: (_, chunk) => {
            bytes += chunk.length;
            // As what slow readers leave with us: it lives until after the next young collections.
            held.push(chunk);
            if (held.length > ${HELD_MB} * 16) held.shift();
            if (bytes % 64 === 0) resident = Math.max(resident, process.memoryUsage.rss());
          },
          onEnd: ended, onDrain() {}, onClose() {},
        };
        connection.resume();
      });
      count(observer.takeRecords());
      console.log(JSON.stringify({ bytes, full, young, residentMb: resident / 2 ** 20, kept: kept.length }));
      process.exit(0);`;
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    const { bytes, full, young, residentMb } = JSON.parse(said) as Record<string, number>;
    expect(bytes).to.equal(READ_MB * 1024 * 1024);
    expect(young).to.be.above(0);
    expect(full).to.equal(0);
    // Against the limit of the whole heap, which is gigabytes, what has grown old would not be collected.
    expect(residentMb).to.be.below(384);
  });
});

// Tests run controllers, signers and egresses within their own process. Ten seconds after the first of them
// V8 favoured size there until the end: text of tenants took 75 s of CPU to read instead of 9.
describe('what V8 is told', () => {
  it('is told by verbs of their own process, not by what a test runs within its own', () => {
    const tellers = globSync('src/**/*.ts', { cwd: ROOT }).filter((file) =>
      /\b(?:setFlagsFromString|tuneForTraffic|giveBackAfterStart)\(/.test(
        readFileSync(path.join(ROOT, file), 'utf8'),
      ),
    );
    expect(tellers.toSorted()).to.deep.equal([
      ...['controller', 'egress', 'gateway', 'signer'].map((verb) => `src/cli/commands/${verb}.ts`),
      'src/processes/v8-tuning.ts',
    ]);
  });
});

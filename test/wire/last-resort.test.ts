import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Authority, createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { MARK, MISTAKES } from '../support/escaping.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { MeshClient } from '../support/mesh-client.ts';
import { http1Origin, type Origin, rawOrigin } from '../support/origins.ts';
import { RUNTIMES, type RuntimeProcess } from '../support/runtime-process.ts';
import type { ServiceClient } from '../support/service-client.ts';

const DOMAIN = 'serviceaccount.identity.linkerd.cluster.local';
const GATEWAY = `gateway.linkerd.${DOMAIN}`;
const FIRST = path.join(import.meta.dirname, '../support/escaping.ts');
const WEB = 'web.demo.svc.cluster.local';
const RAW = 'raw.demo.svc.cluster.local';
const SIGNALS = { SIGUSR2: 'exception', SIGHUP: 'rejection' } as const;

interface Line {
  readonly msg: string;
  readonly code?: string;
  readonly kind?: string;
  readonly err?: { readonly message: string; readonly stack?: string };
}

// A mistake in a timer, or a promise that nobody waits for, ended the process: one request of one client
// could end all flows of a worker, and the next one those of its successor.
for (const runtime of RUNTIMES)
  describe(`what no part of a process catches on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-last-'));
    const origins: Origin[] = [];
    let issuer: Authority;
    let gateway: GatewayProcess;
    let egress: EgressProcess;
    let mesh: MeshClient;

    before(async function () {
      issuer = await createIssuer(await createAnchor({}), {});
      const [web, raw] = [await http1Origin(), await rawOrigin()];
      origins.push(web, raw);
      gateway = await GatewayProcess.start({
        runtime,
        first: FIRST,
        dir: path.join(dir, 'gateway'),
        identity: await issueLeaf(issuer, { identity: GATEWAY }),
        targets: [
          { name: WEB, ports: [web.port], protocol: 'http1' },
          { name: RAW, ports: [raw.port], protocol: 'opaque' },
        ],
      });
      egress = await EgressProcess.start({
        runtime,
        first: FIRST,
        dir: path.join(dir, 'egress'),
        identity: await issueLeaf(issuer, { identity: `linkspan-egress.linkerd.${DOMAIN}` }),
        gateway: { addresses: ['127.0.0.1'], port: gateway.port, identity: GATEWAY },
        services: [{ name: WEB }, { name: RAW, protocol: 'opaque' }],
      });
      const client = await issueLeaf(issuer, { identity: `web.shop.${DOMAIN}` });
      mesh = new MeshClient({ port: gateway.port, gatewayIdentity: GATEWAY, identity: client });
    });

    after(async () => {
      mesh.close();
      await egress.kill();
      await gateway.kill();
      for (const origin of origins) origin.close();
      rmSync(dir, { recursive: true });
    });

    const parts: readonly [string, () => RuntimeProcess, () => ServiceClient][] = [
      ['gateway', () => gateway, () => mesh],
      ['egress', () => egress, () => egress.client],
    ];
    for (const [name, process, client] of parts)
      for (const [signal, kind] of Object.entries(SIGNALS) as [keyof typeof SIGNALS, string][])
        it(`ends no flow of a ${name}: ${kind}s`, async () => {
          const held = await client().connect(RAW, 80, 'opaque');
          let back = '';
          held.on('data', (bytes: Buffer) => (back += bytes.toString()));
          try {
            held.write('before');
            await eventually('the bytes are back', () => back.includes('before'));
            process().signal(signal);
            const counted = `linkspan_process_errors_total{kind="${kind}"} ${MISTAKES}`;
            await eventually('all are counted', async () => (await process().metrics()).includes(counted));
            held.write('after');
            await eventually('the bytes are back', () => back.includes('after'));
            const answer = await client().request('http1', WEB, { path: '/hello' });
            expect(answer.status).to.equal(200);
          } finally {
            held.destroy();
          }
          expect(linesOf(process(), kind)).to.have.length.within(1, 20);
          for (const { code, err } of linesOf(process(), kind)) {
            expect(code).to.equal('INTERNAL_ERROR');
            expect(err?.message).to.contain(MARK);
            expect(err?.stack).to.contain('escaping.ts');
          }
          expect(await process().metrics()).to.not.contain(MARK);
          expect(process().gone).to.equal(false);
        });
  });

function linesOf(process: RuntimeProcess, kind: string): Line[] {
  return process.log
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line)
    .filter((line) => line.msg === 'nobody caught an error, the process goes on' && line.kind === kind);
}

import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { closedIn } from '../support/closed-in.ts';
import { addressLine } from '../support/address-line.ts';
import { faultsOf, openPage, startBrowser, type Watched } from '../support/dashboard-page-browser.ts';
import { startTrafficBed, type TrafficBed, WEB } from '../support/traffic-bed.ts';

const LINKSPAN = path.join(import.meta.dirname, '../../bin/linkspan.js');

// As a person sees it: the verb, real processes under traffic, and a browser at the address that was printed.
describe('the page over real processes', () => {
  const closed = closedIn(after);
  let bed: TrafficBed;
  let watched: Watched;

  before(async () => {
    const dir = closed(await mkdtemp(path.join(tmpdir(), 'linkspan-page-')), (one) =>
      rm(one, { recursive: true, force: true }),
    );
    bed = await startTrafficBed(dir, closed);
    const flags = ['--port', '0', '--no-open', '-t', '10s', '--kubeconfig', bed.kubeconfig];
    const contexts = ['--context', 'east', '--context', 'west'];
    const child = spawn(process.execPath, [LINKSPAN, 'dashboard', ...flags, ...contexts]);
    closed(child, async (one) => {
      one.kill('SIGINT');
      if (one.exitCode === null && one.signalCode === null) await once(one, 'exit');
    });
    const line = await addressLine(child);
    const browser = closed(await startBrowser(), (one) => one.close());
    watched = await openPage(browser, line.trim());
  });

  it('shows who asks whom, both ends of a mirror, processes, and then what fails', async () => {
    const { page, complaints } = watched;
    const go = (name: string) => page.getByRole('navigation').getByRole('link', { name }).click();
    const row = (name: RegExp | string) => page.getByRole('row').filter({ hasText: name }).first();
    // There are no controllers: that is said, and not that all is well.
    await page.getByText('Nothing is known to fail').waitFor();
    await go('Clients');
    await row('front-1').waitFor();
    await go('Services');
    await page.getByRole('button', { name: 'Mirrors, both ends' }).click();
    await row(WEB).waitFor();
    // What the egress and the gateway have measured stands in one row.
    await page
      .getByRole('img', { name: /^Of the p99: egress .*, network .*, gateway and endpoint / })
      .waitFor();
    await row(WEB).getByRole('link').first().click();
    await page.getByText('Where time goes').first().waitFor();
    await page.getByText(', as east knows it').waitFor();
    await go('Processes');
    await row('egress-0').waitFor();
    await row('gateway-0').waitFor();
    expect(await faultsOf(page)).to.deep.equal([]);
    await go('Reasons');
    await row('GatewayDead').waitFor();
    await go('Now');
    bed.asking.path = '/status/503';
    await page.getByRole('heading', { name: 'demo/web' }).waitFor();
    await page.getByText('ServerErrors').first().waitFor();
    await page.getByText('linkspan tap svc/web -n demo --failures --context west').waitFor();
    expect(await faultsOf(page)).to.deep.equal([]);
    expect(complaints).to.deep.equal([]);
  });
});

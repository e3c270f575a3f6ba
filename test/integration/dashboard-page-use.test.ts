import { expect } from 'chai';
import type { Browser, Page } from 'playwright-core';
import type { HistorySeries, HistoryTable, TapLine } from '../../src/dashboard/answers.ts';
import { LinkspanError } from '../../src/api/errors/linkspan-error.ts';
import { type DashboardBed, startDashboardBed } from '../support/dashboard-bed.ts';
import { faultsOf, openPage, startBrowser, type Watched } from '../support/dashboard-page-browser.ts';
import { failingTables, largeTables, RIGHT_TO_LEFT, wellTables } from '../support/dashboard-page-tables.ts';
import { eventually } from '../support/eventually.ts';

describe('somebody who uses the page', () => {
  let browser: Browser;
  let bed: DashboardBed;
  let watched: Watched;
  let page: Page;
  let base: string;

  before(async () => {
    [browser, bed] = await Promise.all([startBrowser(), startDashboardBed(wellTables())]);
    // What is refused on purpose is told in a stream, and not by a status.
    watched = await openPage(browser, bed.dashboard.url);
    ({ page } = watched);
    base = `http://127.0.0.1:${bed.dashboard.port}`;
  });

  after(async () => {
    await browser?.close();
    await bed?.dashboard.close();
  });

  beforeEach(() => bed.feed.publish(wellTables()));
  afterEach(() => {
    expect(watched.complaints.splice(0)).to.deep.equal([]);
  });

  const go = async (path: string) => {
    await page.goto(base + path);
    await page.locator('.bar .chip').first().waitFor();
  };
  const says = (text: RegExp | string) => page.getByText(text).first().waitFor();
  const heading = () => page.locator('h1').innerText();
  const arrives = (title: string) =>
    eventually(`the page ${title}`, async () => {
      expect(await heading()).to.equal(title);
      return true;
    });
  const address = () => page.url().slice(base.length);

  describe('with the keyboard alone', () => {
    it('goes to pages, finds things, and comes back', async () => {
      await go('/now');
      await page.keyboard.press('g');
      await page.keyboard.press('m');
      await arrives('Map');
      await page.keyboard.press('/');
      await page.keyboard.type('check');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      await arrives('shop/checkout-west');
      expect(address()).to.equal('/services/shop/checkout-west');
      // Readers of screens are where the new page begins.
      await eventually(
        'the focus',
        async () => (await page.evaluate('document.activeElement.tagName')) === 'H1',
      );
      await page.goBack();
      await arrives('Map');
      expect(await page.title()).to.equal('Map · Linkspan');
      await page.keyboard.press('?');
      expect(await page.getByRole('dialog').innerText()).to.include('Search everything');
      expect(await faultsOf(page)).to.deep.equal([]);
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
    });

    it('reaches the page past the names of pages, and each link of the map', async () => {
      await go('/map');
      await page.keyboard.press('Tab');
      expect(await page.evaluate('document.activeElement.textContent')).to.equal('Skip to the page');
      await page.keyboard.press('Enter');
      const seen: string[] = [];
      for (let nth = 0; nth < 12; nth++) {
        await page.keyboard.press('Tab');
        seen.push(await page.evaluate('document.activeElement.getAttribute("aria-label") ?? ""'));
      }
      expect(seen.filter((label) => label.startsWith('Link '))).to.have.length(3);
      expect(seen.filter((label) => label.startsWith('Cluster '))).to.have.length(3);
      await page.locator('.map-link').first().focus();
      await page.keyboard.press('Enter');
      await says('Egress pods');
      expect(address()).to.include('?link=');
      await page.goBack();
      await says('Choose a link to see who uses it');
    });

    it('orders a table, and chooses a theme that stays', async () => {
      await go('/services');
      const column = page.getByRole('columnheader', { name: 'Req/s' });
      await column.getByRole('button').focus();
      await page.keyboard.press('Enter');
      expect(await column.getAttribute('aria-sort')).to.equal('descending');
      await page.keyboard.press('Enter');
      expect(await column.getAttribute('aria-sort')).to.equal('ascending');
      expect(address()).to.equal('/services?sort=rps');
      const scheme = () => page.evaluate('getComputedStyle(document.documentElement).colorScheme');
      await page.locator('h1').focus();
      await page.keyboard.press('d');
      await page.keyboard.press('d');
      expect(await scheme()).to.equal('dark');
      await page.reload();
      await page.locator('.bar .chip').first().waitFor();
      expect(await scheme()).to.equal('dark');
      await page.keyboard.press('d');
      expect(await scheme()).to.equal('light dark');
    });
  });

  it('sees what begins to fail without a reload, and hears it once', async () => {
    await go('/now');
    await says('Nothing fails');
    bed.feed.publish(failingTables());
    await says('4 things fail');
    await eventually('the news', async () =>
      (await page.getByRole('status').first().innerText()).includes('New failure: link south: ProbesFailed'),
    );
    await page.getByRole('link', { name: 'south', exact: true }).first().click();
    await arrives('south');
    await says(RIGHT_TO_LEFT);
    bed.feed.publish(wellTables());
    await says('There is no such Link');
  });

  it('filters, and can send the address to somebody else', async () => {
    bed.feed.publish(failingTables());
    await go('/services');
    await page.getByRole('searchbox').fill('orders');
    await page.getByRole('checkbox', { name: 'Failing only' }).check();
    await page.getByRole('button', { name: /^west/ }).click();
    await says('Take the filter away');
    await page.goBack();
    expect(address()).to.equal('/services?q=orders&failing=yes');
    await go(address());
    expect(await page.locator('tbody tr').count()).to.equal(1);
    // Which cluster is looked at holds for all pages; what was filtered does not.
    await page.getByRole('button', { name: /^east/ }).click();
    await page.getByRole('link', { name: 'Links', exact: true }).click();
    await arrives('Links');
    expect(address()).to.equal('/links?cluster=east');
  });

  it('draws no more of a thousand rows than are seen, and all of them when scrolled to', async () => {
    bed.feed.publish(largeTables(1000, 20));
    await go('/services');
    const rows = page.locator('tbody tr:not(.spacer)');
    expect(await rows.count()).to.be.lessThan(60);
    expect(await page.locator('table').getAttribute('aria-rowcount')).to.equal('1001');
    await page.evaluate(`(() => {
      const box = document.querySelector('.table');
      box.scrollTop = box.scrollHeight;
    })()`);
    await eventually(
      'the last row',
      async () => (await rows.last().getAttribute('aria-rowindex')) === '1001',
    );
    const rowsHigh = await page.evaluate(`(() => {
      const box = document.querySelector('.table');
      const row = box.querySelector('tbody tr:not(.spacer)').getBoundingClientRect().height;
      return Math.round(box.scrollHeight / row);
    })()`);
    expect(rowsHigh).to.be.within(1000, 1003);
  });

  it('takes news of a thousand rows for little more than of sixty, and keeps none of what was before', async () => {
    const cdp = await watched.context.newCDPSession(page);
    // CPU of the page's own thread: the machine may be busy.
    await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
    const metric = async (wanted: string) => {
      const { metrics } = await cdp.send('Performance.getMetrics');
      return metrics.find(({ name }) => name === wanted)?.value ?? Number.NaN;
    };
    const costOf = async (rows: number) => {
      bed.feed.publish(largeTables(rows, 20));
      await go('/services');
      await updates(page, rows, 6);
      const before = await metric('ScriptDuration');
      await updates(page, rows, 30);
      return (await metric('ScriptDuration')) - before;
    };
    const few = await costOf(60);
    const many = await costOf(1000);
    expect(many / few).to.be.lessThan(6);
    await cdp.send('HeapProfiler.collectGarbage');
    const first = await metric('JSHeapUsedSize');
    await updates(page, 1000, 90);
    await cdp.send('HeapProfiler.collectGarbage');
    const last = await metric('JSHeapUsedSize');
    expect(last).to.be.lessThan(60e6);
    expect(last - first).to.be.lessThan(4e6);
  });

  it('comes without a jump: what stands there before is as wide and as high', async () => {
    for (const path of ['/now', '/map', '/services', '/live']) {
      await go(path);
      const jumped = await page.evaluate<number>(`new Promise((resolve) => {
        let sum = 0;
        new PerformanceObserver((list) => {
          for (const { value } of list.getEntries()) sum += value;
        }).observe({ type: 'layout-shift', buffered: true });
        requestAnimationFrame(() => setTimeout(() => resolve(sum), 50));
      })`);
      expect(jumped, path).to.be.lessThan(0.02);
    }
  });

  it('does nothing that the policy of the page forbids, and could not', async () => {
    await go('/now');
    const refused = await page.evaluate(
      `(() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (error) { return error.name; } })()`,
    );
    expect(refused).to.equal('TypeError');
    watched.complaints.splice(0);
  });

  describe('a tap', () => {
    const flow = (id: string, more: object = {}) => ({
      v: 1 as const,
      type: 'flow' as const,
      id,
      at: Date.now(),
      process: 'egress' as const,
      side: 'source' as const,
      client: { address: '10.0.0.7', proven: false },
      target: { name: 'web', namespace: 'shop', port: '80', mirror: 'web', cluster: 'west' },
      protocol: 'http2' as const,
      method: 'GET',
      path: '/cart\\u{1b}[31m<b>',
      status: 200,
      bytesIn: 0,
      bytesOut: 91,
      totalMs: 13,
      ...more,
    });

    it('asks for nothing before it is started, and shows what passes, what is lost and how it ends', async () => {
      const asked: string[] = [];
      bed.answers.tap = async function* (query) {
        asked.push(query.toString());
        const lines: TapLine['event'][] = [
          flow('1'),
          flow('2', { status: 503, failure: 'failfast', reason: RIGHT_TO_LEFT }),
          { v: 1, type: 'lost', count: 41 },
          { v: 1, type: 'end', why: 'token expired' },
        ];
        for (const event of lines) yield { event: 'tap', data: { pod: 'egress-1', event } };
        yield { event: 'over', data: { failures: ['egress-2: it did not answer'] } };
      };
      await go('/live?cluster=east');
      await says('Choose what to see, and start.');
      expect(asked).to.deep.equal([]);
      await page.getByLabel('Namespace').fill('shop');
      await page.getByRole('button', { name: 'Start' }).click();
      for (const word of [
        '41 requests passed that could not be shown.',
        'token expired',
        'egress-2: it did not answer',
        RIGHT_TO_LEFT,
      ])
        await says(new RegExp(word.replaceAll(/[.()]/g, String.raw`\$&`)));
      // What a stranger has sent is text, and nothing else.
      await says('/cart\\u{1b}[31m<b>');
      expect(asked).to.deep.equal(['namespace=shop&context=east']);
      expect(await faultsOf(page)).to.deep.equal([]);
    });

    it('ends when somebody leaves the page', async () => {
      const gone = Promise.withResolvers<void>();
      bed.answers.tap = async function* (_query, signal) {
        signal.addEventListener('abort', () => gone.resolve());
        yield { event: 'tap', data: { pod: 'egress-1', event: flow('1') } };
        await gone.promise;
      };
      await go('/live?cluster=east');
      await page.getByRole('button', { name: 'Start' }).click();
      await page.getByRole('row').filter({ hasText: '10.0.0.7' }).waitFor();
      await page.getByRole('link', { name: 'Links', exact: true }).click();
      await gone.promise;
    });

    it('says who refuses it, and what to do', async () => {
      bed.answers.tap = async function* () {
        await Promise.reject(
          new LinkspanError('TAP_REFUSED', 'the account may not get taps.linkspan.dev in shop'),
        );
        yield { event: 'tap', data: {} };
      };
      await go('/live');
      await page.getByRole('button', { name: 'Start' }).click();
      await says('west refuses the tap.');
      await says(/may not get taps\.linkspan\.dev in shop/);
      expect(await faultsOf(page)).to.deep.equal([]);
    });

    it('has who asks most beside it', async () => {
      bed.answers.top = async function* () {
        yield {
          event: 'top',
          data: {
            at: Date.now(),
            windowMs: 10_000,
            rows: wellTables().edges,
            unread: ['no answer from west'],
          },
        };
      };
      await go('/live?show=top');
      await says('frontend-6c8d9-x7k2m');
      await says('no answer from west');
    });
  });

  describe('when the program goes', () => {
    it('says so, goes on when it is back, and says when it is another start', async () => {
      const own = await startDashboardBed(wellTables());
      const { port } = own.dashboard;
      const other = await openPage(browser, own.dashboard.url, { mayFail: /ERR_|403|events/ });
      try {
        await other.page.locator('.bar .chip').first().waitFor();
        await own.dashboard.close();
        await other.page.getByText('does not answer.').waitFor();
        const next = await startDashboardBed(wellTables(), { port });
        await other.page.getByText('This page is of an earlier start').waitFor();
        expect(await faultsOf(other.page)).to.deep.equal([]);
        await next.dashboard.close();
      } finally {
        await other.context.close();
      }
    });
  });

  describe('history', () => {
    const at = Array.from({ length: 60 }, (_, nth) => 1_800_000_000 + nth * 60);
    const series: HistorySeries = {
      from: at[0] ?? 0,
      to: at.at(-1) ?? 0,
      step: 60,
      at,
      rps: at.map((_, nth) => 300 + nth),
      success: at.map((_, nth) => (nth === 40 ? null : 0.999)),
      p50: at.map(() => 9),
      p99: at.map((_, nth) => 40 + nth),
    };
    const table: HistoryTable = {
      kind: 'service',
      from: series.from,
      to: series.to,
      cut: false,
      rows: [
        {
          source: 'east',
          namespace: 'shop',
          name: 'then',
          cluster: 'west',
          side: 'egress',
          success: 0.98,
          rps: 12,
          latency_ms_p50: 1,
          latency_ms_p95: 2,
          latency_ms_p99: 3,
        },
      ],
    };

    it('is not there without Prometheus', async () => {
      await go('/links/east/west?range=1h');
      await says('Conditions');
      expect(await page.getByRole('group', { name: 'Time' }).count()).to.equal(0);
      expect(await page.getByText('History').count()).to.equal(0);
    });

    it('is drawn over the chosen time, says when Prometheus is wrong, and waits when it is slow', async () => {
      const own = await startDashboardBed(wellTables(), { meta: { prometheus: 'http://127.0.0.1:9090' } });
      let answer: () => Promise<HistorySeries> = () => Promise.resolve(series);
      own.answers.history = { table: () => Promise.resolve(table), series: () => answer() };
      const other = await openPage(browser, own.dashboard.url, { mayFail: /history|50[24]/ });
      const url = `http://127.0.0.1:${own.dashboard.port}`;
      try {
        await other.page.goto(`${url}/links/east/west`);
        await other.page.getByRole('button', { name: '6h' }).click();
        await other.page.locator('canvas').nth(2).waitFor();
        expect(other.page.url()).to.match(/range=6h$/);
        expect(await faultsOf(other.page)).to.deep.equal([]);
        await other.page.goto(`${url}/services?range=1d`);
        await other.page.getByText('shop/then').waitFor();
        answer = () => Promise.reject(new LinkspanError('PROMETHEUS_TIMEOUT', 'no answer within 10 s'));
        await other.page.goto(`${url}/links/east/west?range=1d`);
        await other.page.getByText('Prometheus does not answer.').waitFor();
        expect(await faultsOf(other.page)).to.deep.equal([]);
        answer = () => new Promise(() => undefined);
        await other.page.goto(`${url}/links/east/west?range=7d`);
        await other.page.locator('.panel .skeleton').waitFor();
        expect(other.complaints).to.deep.equal([]);
      } finally {
        await other.context.close();
        await own.dashboard.close();
      }
    });
  });
});

/** Gives the page so many deltas in which every row has changed, each of them drawn before the next. */
async function updates(page: Page, rows: number, times: number): Promise<void> {
  const deltas = [1, 2, 3].map((round) => ({
    at: Date.now(),
    changes: { services: { set: largeTables(rows, 1, round).services } },
  }));
  await page.evaluate(`(async () => {
    const { takeDelta } = await import('/page/page-store.ts');
    const texts = ${JSON.stringify(deltas)}.map((delta) => JSON.stringify(delta));
    for (let nth = 0; nth < ${times}; nth++) {
      takeDelta(JSON.parse(texts[nth % texts.length]));
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    }
  })()`);
}

import { expect } from 'chai';
import type { Browser } from 'playwright-core';
import { emptyTables, type Tables } from '../../src/dashboard/snapshot.ts';
import { type DashboardBed, startDashboardBed } from '../support/dashboard-bed.ts';
import {
  faultsOf,
  openPage,
  outsideOf,
  startBrowser,
  type Watched,
} from '../support/dashboard-page-browser.ts';
import {
  contextRow,
  failingTables,
  largeTables,
  LONGEST,
  quietTables,
  RIGHT_TO_LEFT,
  unlinkedTables,
  wellTables,
} from '../support/dashboard-page-tables.ts';

const PAGES = [
  '/now',
  '/map?link=east/west',
  '/links',
  '/links/east/west',
  '/services',
  '/services?show=mirrors',
  '/services/shop/checkout-west',
  '/clients',
  '/live',
  '/live?show=top',
  '/processes',
  '/reasons?word=NotSynced',
] as const;
/** Those that show every part: what is wrong with a cluster, a table, a drawing. */
const FEW = ['/now', '/map', '/processes'] as const;

const only = (more: Parameters<typeof contextRow>[1]): Tables => ({
  ...emptyTables(),
  contexts: { east: contextRow('east', { links: 0, traffic: false, ...more }) },
});
const asIs = (more: Parameters<typeof contextRow>[1]): Tables => ({
  ...wellTables(),
  contexts: { east: contextRow('east', more) },
});

interface State {
  readonly tables: () => Tables;
  /** Said on the first page. */
  readonly says: readonly (RegExp | string)[];
  readonly pages: readonly string[];
}

/** What a page may have to show. */
const STATES: Readonly<Record<string, State>> = {
  'all is well': { tables: wellTables, says: ['Nothing fails', '8 of 8 pods answered.'], pages: PAGES },
  'several things fail': {
    tables: failingTables,
    says: [
      '4 things fail',
      'ProbesFailed',
      'linkspan gateways south -o wide',
      '7 mirrors affected',
      LONGEST,
      RIGHT_TO_LEFT,
      'plant cannot be reached.',
      'connect ETIMEDOUT',
      'west answers in part.',
      '1 pod of 4 did not answer',
    ],
    pages: [...PAGES, '/links/east/south', `/services/shop/${LONGEST}`],
  },
  'nothing was heard yet': {
    tables: () => only({ state: 'loading', at: null, asked: 0, answered: 0 }),
    says: ['Asking the clusters'],
    pages: FEW,
  },
  'nothing is linked': {
    tables: unlinkedTables,
    says: [
      'Nothing is linked yet',
      'linkspan install',
      'linkspan link --from west --to east',
      'linkspan export svc web',
    ],
    pages: FEW,
  },
  'no traffic': { tables: quietTables, says: ['No traffic in the last 60 s', 'Quiet'], pages: FEW },
  'no rights': {
    tables: () =>
      only({
        state: 'forbidden',
        at: null,
        role: 'linkspan-view',
        error: { code: 'STATS_FORBIDDEN', message: 'pods may not be listed', advice: 'Ask who may.' },
      }),
    says: ['may not be read', 'ClusterRole linkspan-view', 'Ask who may.', 'No cluster can be seen'],
    pages: FEW,
  },
  'no controller': {
    tables: () => asIs({ controller: 'absent' }),
    says: ['east has no controller.', 'Nothing is known to fail', 'Mirrors stay as they are'],
    pages: FEW,
  },
  'not installed': {
    tables: () =>
      only({
        state: 'absent',
        error: { code: 'STATS_NOT_FOUND', message: '', advice: 'Run `linkspan install`.' },
      }),
    says: ['east has no Linkspan.', 'Nothing is linked yet'],
    pages: FEW,
  },
  'away from the start': {
    tables: () =>
      only({
        state: 'unreachable',
        at: null,
        error: { code: 'KUBE_UNREACHABLE', message: 'ECONNREFUSED', advice: '' },
      }),
    says: ['east cannot be reached.', 'ECONNREFUSED', 'No cluster can be seen'],
    pages: FEW,
  },
  'older than ten seconds': {
    tables: () => asIs({ at: Date.now() - 60_000 }),
    says: ['east is silent.', 'Nothing is known to fail', /as of 6\d s ago/],
    pages: FEW,
  },
  'a thousand Services over twenty Links': {
    tables: () => largeTables(1000, 20),
    says: ['All 1000'],
    pages: ['/now', '/map', '/services'],
  },
};

describe('the page of the dashboard', () => {
  let browser: Browser;
  let bed: DashboardBed;
  let watched: Watched;
  let base: string;

  before(async () => {
    [browser, bed] = await Promise.all([startBrowser(), startDashboardBed()]);
    watched = await openPage(browser, bed.dashboard.url);
    base = `http://127.0.0.1:${bed.dashboard.port}`;
  });

  after(async () => {
    await browser?.close();
    await bed?.dashboard.close();
  });

  afterEach(() => {
    expect(watched.complaints.splice(0)).to.deep.equal([]);
  });

  for (const [name, { tables, says, pages }] of Object.entries(STATES))
    it(`says it, keyboard and readers of screens get all of it, in both themes: ${name}`, async () => {
      const { page } = watched;
      bed.feed.publish(tables());
      for (const [nth, path] of pages.entries()) {
        await page.goto(base + path);
        await page.locator('h1').waitFor();
        await page.locator('.bar .chip').first().waitFor();
        const text = (await page.locator('#root').innerText()).replaceAll(/\s+/g, ' ');
        if (nth === 0)
          for (const word of says)
            if (typeof word === 'string') expect(text).to.include(word);
            else expect(text).to.match(word);
        expect(await faultsOf(page), `${path} light`).to.deep.equal([]);
        await page.emulateMedia({ colorScheme: 'dark' });
        expect(await faultsOf(page, ['color-contrast']), `${path} dark`).to.deep.equal([]);
        await page.emulateMedia({ colorScheme: 'light' });
      }
    });

  it('loses nothing at 320 pixels, nor at 200 %', async () => {
    const { page } = watched;
    bed.feed.publish(failingTables());
    for (const width of [320, 640]) {
      await page.setViewportSize({ width, height: 700 });
      for (const path of [...PAGES, '/links/east/south', `/services/shop/${LONGEST}`]) {
        await page.goto(base + path);
        await page.locator('.bar .chip').first().waitFor();
        const outside = await outsideOf(page);
        expect(outside, `${path} at ${width}`).to.deep.equal({ wide: 0, lost: [] });
      }
    }
    await page.setViewportSize({ width: 1360, height: 900 });
  });
});

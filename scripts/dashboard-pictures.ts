/**
 * Makes the pictures of the page in docs/images/dashboard/: each page in both themes, of the clusters that
 * its tests are made of. Run by hand when the page has changed: `node scripts/dashboard-pictures.ts [PAGE…]`.
 * It takes Chromium and, of Debian, `fonts-inter`, so that letters look the same everywhere, and `pngquant`,
 * which makes a third of them.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { allCodes, allReasons } from '../src/cli/output/explain-words.ts';
import { failureAdvice } from '../src/cli/output/failure-advice.ts';
import type { Tables } from '../src/dashboard/snapshot.ts';
import { type DashboardBed, startDashboardBed } from '../test/support/dashboard-bed.ts';
import { openPage, startBrowser } from '../test/support/dashboard-page-browser.ts';
import { failingTables, LONGEST, RIGHT_TO_LEFT } from '../test/support/dashboard-page-tables.ts';

const FOLDER = path.resolve(import.meta.dirname, '../docs/images/dashboard');
const SIZE = { width: 1200, height: 760 };
const THEMES = ['light', 'dark'] as const;

/** Pages by the names of their pictures. */
const PAGES: Readonly<Record<string, string>> = {
  now: '/now',
  map: '/map?link=east/west',
  links: '/links',
  link: '/links/east/south',
  services: '/services?show=mirrors',
  service: '/services/shop/checkout-west',
  clients: '/clients',
  live: '/live?namespace=shop',
  processes: '/processes',
  reasons: '/reasons?word=ProbesFailed',
};

/** As the tests have them, with names of a length that people choose. */
function pictured(): Tables {
  const text = JSON.stringify(failingTables())
    .replaceAll(LONGEST, 'stock')
    .replaceAll(RIGHT_TO_LEFT, 'no address of the gateway answers its probes');
  return JSON.parse(text) as Tables;
}

const REQUESTS = [
  ['frontend', 'checkout', 'GET', '/cart', 200, 11.2],
  ['frontend', 'catalogue', 'GET', '/products/42', 200, 7.9],
  ['batch', 'orders', 'POST', '/orders', 503, 1204],
  ['frontend', 'search', 'GET', '/search', 200, 24.6],
  ['reports', 'payments', 'POST', '/bank.Payments/List', 200, 31.8],
  ['frontend', 'checkout', 'POST', '/checkout', 201, 46.1],
] as const;

async function* taps() {
  for (const [nth, [client, name, method, route, status, totalMs]] of [...REQUESTS, ...REQUESTS].entries()) {
    const bad = status >= 500 ? { failure: 'failfast', reason: `no ready endpoints for shop/${name}` } : {};
    const event = {
      v: 1 as const,
      type: 'flow' as const,
      id: String(nth),
      at: Date.UTC(2026, 10, 30, 12, 0, 1) + nth * 137,
      process: 'gateway' as const,
      side: 'target' as const,
      client: { identity: `${client}.shop`, proven: true },
      target: { name, namespace: 'shop', service: name, port: '8080' },
      protocol: 'http2' as const,
      endpoint: `10.1.2.${nth + 3}:8080`,
      method,
      path: route,
      status,
      bytesIn: method === 'POST' ? 812 : 0,
      bytesOut: 1420 + nth * 97,
      firstByteMs: totalMs * 0.8,
      totalMs,
      tries: status >= 500 ? 2 : 1,
      ...bad,
    };
    yield { event: 'tap', data: { pod: 'linkspan-gateway-9c3d2-h8j4k', event } };
  }
  // It goes on until the picture is taken.
  await new Promise(() => undefined);
}

async function picture(bed: DashboardBed, wanted: readonly string[]): Promise<void> {
  const browser = await startBrowser();
  try {
    for (const theme of THEMES) {
      const { page, context } = await openPage(browser, bed.dashboard.url, {
        ...SIZE,
        theme,
      });
      for (const name of wanted) {
        await page.goto(`http://127.0.0.1:${bed.dashboard.port}${PAGES[name] ?? '/'}`);
        await page.locator('.bar .chip').first().waitFor();
        if (name === 'live') {
          await page.getByRole('button', { name: 'west' }).click();
          await page.getByRole('button', { name: 'Start' }).click();
          await page.getByText('/checkout').first().waitFor();
        }
        await page.screenshot({ path: path.join(FOLDER, `${name}-${theme}.png`) });
      }
      await context.close();
    }
  } finally {
    await browser.close();
  }
}

const asked = process.argv.slice(2);
mkdirSync(FOLDER, { recursive: true });
const bed = await startDashboardBed(pictured());
bed.answers.reasons = () => ({
  reasons: allReasons(),
  codes: allCodes(),
  failures: Object.entries(failureAdvice).map(([kind, fix]) => ({ kind, fix })),
});
bed.answers.tap = taps;
bed.answers.service = () =>
  Promise.resolve({
    explanations: [],
    policy: [
      { name: 'linkspan.dev/slo', value: '99.9%, p99<300ms' },
      { name: 'linkspan.dev/timeout', value: '2s' },
    ],
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    problems: [],
    unread: [],
  });
await picture(bed, asked.length > 0 ? asked : Object.keys(PAGES));
await bed.dashboard.close();
const files = readdirSync(FOLDER).map((file) => path.join(FOLDER, file));
const { status } = spawnSync('pngquant', [
  '--force',
  '--ext',
  '.png',
  '--strip',
  '--quality',
  '70-95',
  ...files,
]);
if (status !== 0)
  process.stderr.write('The pictures are as large as they were made: pngquant is missing, or failed.\n');
// The stream of the tap has no end.
process.exit();

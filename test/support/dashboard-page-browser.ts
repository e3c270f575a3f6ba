import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { machineProgram } from '../testbed/binaries/machine.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** WCAG 2.2 AA, and what is below it. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
/** The machine is busy: a page may take long, and none may hang. */
const LONGEST_MS = 120_000;

/** A real Chromium without a screen, as Debian has it. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = machineProgram('chromium-headless-shell');
  // The user of CI is root in a container, where the sandbox of Chromium cannot be made.
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'],
  });
}

/** What a page said that it should not have. */
export interface Watched {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors, refusals of the content policy, and answers that failed. */
  readonly complaints: string[];
}

export interface Look {
  readonly width?: number;
  readonly height?: number;
  readonly theme?: 'dark' | 'light';
  /** Which answers may fail: a state that is looked at has them. */
  readonly mayFail?: RegExp;
}

/** A page that is let in by the address that was printed. */
export async function openPage(browser: Browser, url: string, look: Look = {}): Promise<Watched> {
  const { width = 1360, height = 900, theme = 'light', mayFail = /^$/ } = look;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'UTC',
  });
  context.setDefaultTimeout(LONGEST_MS);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !mayFail.test(message.text())) complaints.push(message.text());
  });
  page.on('response', (response) => {
    if (response.status() >= 400 && !mayFail.test(response.url()))
      complaints.push(`${response.status()} ${response.url()}`);
  });
  await page.goto(url);
  return { page, context, complaints };
}

/** What axe finds wrong with a page. @param rules default: all of WCAG 2.2 AA */
export async function faultsOf(page: Page, rules?: readonly string[]): Promise<string[]> {
  // Not as a script in the page: its policy takes none.
  if (!(await page.evaluate<boolean>(`'axe' in window`))) await page.evaluate(AXE);
  const runOnly = rules === undefined ? { type: 'tag', values: RULES } : { type: 'rule', values: rules };
  return page.evaluate(`(async () => {
    const options = { runOnly: ${JSON.stringify(runOnly)}, resultTypes: ['violations'] };
    const { violations } = await window.axe.run(document, options);
    return violations
      .flatMap(({ id, nodes }) => nodes.map((node) => id + ': ' + node.html.slice(0, 160) + ': ' + node.failureSummary))
      .slice(0, 5);
  })()`);
}

/** What of a page is wider than its window, but for boxes that scroll by themselves. */
export async function outsideOf(page: Page): Promise<{ wide: number; lost: string[] }> {
  return page.evaluate(`(() => {
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    const inBox = (element) => element.closest('.table, .map, .hidden-text, .skip, dialog') !== null;
    const lost = [...document.querySelectorAll('#root *')].filter(
      (element) => !inBox(element) && element.getBoundingClientRect().right > window.innerWidth + 1,
    );
    return { wide, lost: lost.slice(0, 3).map((element) => element.outerHTML.slice(0, 80)) };
  })()`);
}

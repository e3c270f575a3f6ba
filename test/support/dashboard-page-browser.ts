import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { machineProgram } from '../testbed/binaries/machine.ts';

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

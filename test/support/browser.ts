import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { TestContext } from 'node:test';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

const require = createRequire(import.meta.url);
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** Debian's packages, the small one first; playwright's own download is not used. */
const PROGRAMS = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'];

/** A real browser, which looks at servers of this machine alone. */
export async function startBrowser(t: TestContext): Promise<Browser> {
  const browser = await launchBrowser();
  t.after(() => browser.close());
  return browser;
}

export function launchBrowser(): Promise<Browser> {
  const executablePath = PROGRAMS.find((path) => existsSync(path)) ?? PROGRAMS[0]!;
  // Root has no sandbox, and a container little shared memory.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

/** A page that a test looks at, with what it complained of. */
export interface SeenPage {
  readonly page: Page;
  /** Errors and warnings of its console, and exceptions, so far. */
  readonly complaints: readonly string[];
}

export async function look(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<SeenPage> {
  const page = await browser.newPage({ locale: 'en-GB', timezoneId: 'UTC', reducedMotion: 'reduce', ...options });
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  return { page, complaints };
}

/** What axe-core finds wrong with the page: rules, each with where it is broken. */
export async function accessibilityFaults(page: Page): Promise<readonly string[]> {
  // Through the debugger, which the page's content security policy does not concern.
  await page.evaluate(AXE);
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { readonly axe: Axe };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
  });
}

interface Axe {
  run(): Promise<{
    readonly violations: readonly {
      readonly id: string;
      readonly nodes: readonly { readonly target: readonly string[] }[];
    }[];
  }>;
}

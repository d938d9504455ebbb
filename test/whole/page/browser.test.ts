import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { accessibilityFaults, look, startBrowser } from '../../support/browser.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startExamplePage } from '../../support/example-page.ts';
import { startPage } from '../../support/page-fixture.ts';
import { runningTunnel } from '../../support/running.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, PATIENCE_MS } from '../../support/until.ts';

const textOf = (page: Page, selector: string) => page.locator(selector).first();

/** Waits until the element has this text. */
async function sees(page: Page, selector: string, text: string): Promise<void> {
  await textOf(page, selector).filter({ hasText: text }).waitFor({ timeout: PATIENCE_MS });
}

test("shows a tunnel that is cut before the browser's eyes, and goes on by itself when the daemon is started again", async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const [port, listener] = [await freePort(), await freePort()];
  const yaml = `tunnels:\n${tunnelYaml(sshd, 'backup', `${listener}:localhost:${echo.port}`)}metrics: { listen: ${port} }\n`;
  const first = await startDaemonProcess(t, yaml);
  await first.untilStatus(({ tunnels }) => tunnels[0]?.forwards[0]?.verified === 'yes', 'up and verified');
  const { stdout } = await first.command('page');
  assert.equal(stdout, `http://localhost:${port}/\n`);
  const browser = await startBrowser(t);
  const { page, complaints } = await look(browser, stdout.trim());
  await sees(page, '#health', 'The tunnel is up');
  await sees(page, '#link', 'Live');
  await sees(page, 'article td', `-R localhost:${listener}`);
  const visitor = connect(listener, '127.0.0.1').on('error', () => {});
  t.after(() => visitor.destroy());
  visitor.write('hello');
  await sees(page, '[aria-label="Open connections of backup"] tbody tr', '5 B');

  await sshd.kill();
  await sees(page, '#health', 'The tunnel is down');
  await sees(page, 'article .state', 'down');
  await sees(page, '.trouble', 'What to do');
  await sees(page, '[aria-label="Outages of backup"] tbody tr', 'goes on');
  await sees(page, '#failures tbody tr', 'backup');
  assert.equal(await page.title(), '(!) The tunnel is down – tunneld');
  await sshd.restart();
  await sees(page, '#health', 'The tunnel is up');
  await sees(page, '#log', 'up');
  // Until the listener is verified the outage goes on, and would over the time in which the daemon does not run.
  const newest = textOf(page, '[aria-label="Outages of backup"] tbody tr');
  await newest.filter({ hasNotText: 'goes on' }).waitFor({ timeout: PATIENCE_MS });
  assert.deepEqual(complaints, []);

  first.signal('SIGTERM');
  await first.exited;
  await sees(page, '#link', 'The daemon does not answer since');
  await startDaemonProcess(t, yaml, { after: first });
  await sees(page, '#link', 'Live');
  await sees(page, '#health', 'The tunnel is up');
  await sees(page, '[aria-label="Outages of backup"] tbody tr', 'not-running');
});

test('satisfies axe-core, and fits into a narrow window, in both colour schemes', async (t) => {
  const example = await startExamplePage();
  t.after(() => example.server.close());
  const browser = await startBrowser(t);
  for (const [colorScheme, width] of [
    ['light', 1200],
    ['dark', 360],
  ] as const) {
    const { page, complaints } = await look(browser, `http://localhost:${example.port}/`, {
      colorScheme,
      viewport: { width, height: 800 },
    });
    await sees(page, '#health', '1 of 3 tunnels is down');
    await page
      .locator('summary')
      .evaluateAll((all) => all.forEach((each) => each.parentElement?.setAttribute('open', '')));
    assert.deepEqual(await accessibilityFaults(page), [], colorScheme);
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), width);
    assert.deepEqual(complaints, []);
    await page.close();
  }
});

test('is sent as files without anything inline, under 60 KiB in all', async (t) => {
  const { port, server } = await startPage([]);
  t.after(() => server.close());
  let bytes = 0;
  for (const path of ['/', '/page.css', '/page.js', '/icon.svg', '/icon-bad.svg']) {
    const answer = await fetch(`http://localhost:${port}${path}`);
    assert.equal(answer.status, 200, path);
    assert.match(answer.headers.get('content-security-policy') ?? '', /^default-src 'self';/);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    const body = await answer.text();
    if (path === '/') assert.doesNotMatch(body, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:/);
    bytes += Buffer.byteLength(body);
  }
  assert.ok(bytes < 60 * 1024, `${bytes}`);
});

test('tells of the days of a ribbon by the pointer and by keys', async (t) => {
  const example = await startExamplePage();
  t.after(() => example.server.close());
  const { page } = await look(await startBrowser(t), `http://localhost:${example.port}/`);
  await sees(page, '#health', '1 of 3');
  const ribbon = page.locator('#tunnels article:nth-child(1) .ribbon').first();
  const caption = page.locator('#tunnels article:nth-child(1) .caption').first();
  assert.match((await ribbon.getAttribute('aria-label')) ?? '', /^backup, last 90 days: 99\.\d+ % up, \d+ outages$/);
  await ribbon.hover({ position: { x: 5, y: 5 } });
  assert.match(await caption.innerText(), /: not watched$/);
  await page.mouse.move(0, 0);
  await ribbon.focus();
  await page.keyboard.press('End');
  assert.match(await caption.innerText(), /\d (?:outage|up all the time)|: up all the time/);
  await page.keyboard.press('Escape');
  assert.match(await caption.innerText(), /90 days ago/);
});

const NASTY = '<img src=x onerror="document.title=1">';

test('shows what a server, a visitor or the log says as text, however long; shows no tunnels, and many', async (t) => {
  const failure = { code: 'disconnected', message: `${NASTY}\u202e${'long'.repeat(200)}`, hint: NASTY, at: 0 } as const;
  const long = 'a'.repeat(64);
  const nasty = runningTunnel(
    long,
    { phase: 'waiting', retryAt: 5000, failure },
    {},
    { host: `${NASTY}${long}${long}` },
  );
  const fixture = await startPage([nasty, runningTunnel('constructor', { phase: 'up' })]);
  t.after(() => fixture.server.close());
  fixture.memory.add(`${JSON.stringify({ level: 40, time: 0, tunnel: NASTY, msg: NASTY, [NASTY]: NASTY })}\n`);
  fixture.memory.add('no JSON <b>\n');
  const browser = await startBrowser(t);
  const { page, complaints } = await look(browser, `http://localhost:${fixture.port}/`, {
    viewport: { width: 360, height: 640 },
  });
  await sees(page, '.trouble', '<img src=x');
  await sees(page, '#log', '<img src=x');
  assert.equal(await page.evaluate('document.images.length + document.querySelectorAll("#log b b").length'), 0);
  assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 360);
  fixture.show([]);
  await sees(page, '#health', 'No tunnels are configured');
  fixture.show(
    Array.from({ length: 50 }, (_, index) =>
      runningTunnel(`t${index}`, { phase: 'up' }, { state: 'up', verified: 'yes' }),
    ),
  );
  await sees(page, '#health', 'All 50 tunnels are up');
  assert.equal(await page.locator('article').count(), 50);
  assert.deepEqual(complaints, []);
});

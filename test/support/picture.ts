/** Takes the picture of the page that the README shows, of an example: `npm run picture`. */
import { fileURLToPath } from 'node:url';
import { launchBrowser, look } from './browser.ts';
import { startExamplePage } from './example-page.ts';

const example = await startExamplePage();
const browser = await launchBrowser();
const { page } = await look(browser, `http://localhost:${example.port}/`, { viewport: { width: 1080, height: 600 } });
await page.locator('article').nth(2).waitFor();
await page.screenshot({ path: fileURLToPath(new URL('../../docs/page.png', import.meta.url)) });
await browser.close();
await example.server.close();

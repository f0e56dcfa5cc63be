// One browser, a fresh profile and a fresh server for every test; afterwards the page must be clean.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { startServer } from './server.mjs';

const programs = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/snap/bin/chromium'];
export const browserPath = process.env.CHROMIUM ?? programs.find(existsSync);

export async function launch() {
  return chromium.launch({
    executablePath: browserPath,
    // No name resolves: whatever escapes the page's policy and our watch still reaches nobody.
    args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
  });
}

export class Tab {
  constructor(server, context, page) {
    Object.assign(this, { server, context, page, problems: [], expectErrors: [] });
  }

  static async open(browser, options = {}) {
    const server = options.server ?? (await startServer());
    Object.assign(server, options.setup ?? {});
    const context = options.context ?? (await browser.newContext({ locale: 'en-US', viewport: { width: 1100, height: 800 }, ...options.browser }));
    const page = await context.newPage();
    const tab = new Tab(server, context, page);
    page.setDefaultTimeout(30000); // generous: a busy machine is no defect
    page.on('pageerror', (error) => tab.problems.push('error: ' + error));
    page.on('dialog', (dialog) => {
      tab.problems.push('dialog: ' + dialog.message());
      void dialog.dismiss();
    });
    page.on('console', (message) => {
      const text = message.text();
      if (message.type() === 'error' && !/Failed to load resource/.test(text)) tab.problems.push('console: ' + text);
    });
    page.on('request', (request) => {
      const url = request.url();
      if (!url.startsWith(server.url) && !url.startsWith('blob:' + server.url)) tab.problems.push('foreign request: ' + url);
    });
    page.on('popup', () => tab.problems.push('popup'));
    await page.addInitScript(() => {
      globalThis.violations = [];
      document.addEventListener('securitypolicyviolation', (event) =>
        globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
    });
    await page.goto(server.url + (options.hash ?? ''));
    await page.getByRole('textbox', { name: /Message|輸入訊息/ }).waitFor();
    return tab;
  }

  get field() {
    return this.page.locator('.composer textarea');
  }
  get answers() {
    return this.page.locator('.message.assistant');
  }
  async send(text) {
    await this.field.fill(text);
    await this.field.press('Enter');
  }
  // Until the answer that is being written is whole.
  async settled() {
    await this.page.locator('.message.assistant').last().waitFor();
    await this.page.locator('.message[aria-busy="true"]').waitFor({ state: 'detached' });
  }
  async ask(text) {
    const before = await this.page.locator('.message.assistant').count();
    await this.send(text);
    // not the answers that stood there already, which are settled at once
    await this.page.waitForFunction((n) => document.querySelectorAll('.message.assistant').length > n, before);
    await this.settled();
  }
  async clean() {
    const violations = await this.page.evaluate(() => globalThis.violations);
    assert.deepEqual(violations, [], 'violations of the content security policy');
    assert.deepEqual(this.problems, [], 'problems of the page');
  }
  async close() {
    await this.context.close();
    this.server.close();
  }
}

const tests = [];
export function test(name, body, options) {
  tests.push({ name, body, options });
}

let skipped = 0;
export function skip(reason) {
  skipped++;
  console.log('skipped: ' + reason);
}

async function runOne({ name, body, options }, browser) {
  const begin = Date.now();
  let tab = null;
  let failure = null;
  try {
    if (options === null) {
      await body(); // needs no browser
    } else if (options?.bare) {
      await body(browser); // opens its own pages
    } else {
      tab = await Tab.open(browser, options);
      await body(tab, browser);
      await tab.clean();
    }
    console.log(`ok     ${name} (${Date.now() - begin} ms)`);
  } catch (error) {
    failure = error;
    console.log(`FAILED ${name}\n${error.stack}`);
    if (tab) console.log('problems seen:', tab.problems);
    if (tab && process.env.SHOTS)
      await tab.page.screenshot({ path: `${process.env.SHOTS}/${name.slice(0, 20).replace(/\W/g, '_')}.png` }).catch(() => undefined);
  }
  await tab?.close();
  return failure === null;
}

// Two at a time: a test mostly waits.
export async function runAll(filter) {
  const chosen = tests.filter(({ name }) => !filter || name.includes(filter));
  const browser = chosen.some(({ options }) => options !== null) ? await launch() : null;
  let next = 0;
  let passed = 0;
  const again = [];
  const worker = async () => {
    while (next < chosen.length) {
      const one = chosen[next++];
      if (await runOne(one, browser)) passed++;
      else again.push(one);
    }
  };
  await Promise.all([worker(), worker()]);
  // Two pages share two processors with a server: some assertions look a moment too early. A mistake fails alone, too.
  for (const one of again) {
    console.log(`once more, alone: ${one.name}`);
    if (await runOne(one, browser)) passed++;
  }
  await browser?.close();
  console.log(`${passed} passed, ${chosen.length - passed} failed, ${skipped} skipped`);
  return passed > 0 && passed === chosen.length;
}

// The page with the real server behind it: twllm serve with the embedded model.

import assert from 'node:assert/strict';
import { skip, Tab, test } from './harness.mjs';
import { program, serve, serves } from './real.mjs';
import { sleep } from './server.mjs';

if (!serves) {
  skip(`the page with the real server: no ${program} that serves`);
} else {
  const live = (name, options, body, browserOptions) =>
    test('twllm serve: ' + name, async (browser) => {
      const server = await serve(...options);
      const real = await Tab.open(browser, { server, context: await browser.newContext({ locale: 'en-US', viewport: { width: 1000, height: 700 }, ...browserOptions }) });
      try {
        await body(real, server);
        await real.clean();
      } finally {
        await real.close();
      }
    }, { bare: true });
  const metric = async (server, name) => {
    const text = await (await fetch(server.url + 'metrics')).text();
    return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1]);
  };

  live('a conversation, a version, the settings', [], async (tab) => {
    const { page } = tab;
    await tab.ask('你好，請介紹一下臺灣。');
    assert.match(await tab.answers.last().textContent(), /臺灣/);
    // without a speed where the whole answer came at once: there is nothing to measure then
    assert.match(await tab.answers.last().locator('.statistics').textContent(), /\d+ tokens · ([\d.,]+ tokens\/s · )?first token/);
    assert.match(await page.locator('.context').textContent(), /\d+ of [\d,]+ tokens/);
    await tab.ask('謝謝你！臺灣有什麼好吃的？');
    await page.keyboard.press('Control+,');
    for (const [name, value] of [['Temperature', '0.9'], ['Top-k', '40'], ['Min-p', '0.01'], ['Top-p', '0.95'], ['Repetition penalty', '1.05'], ['Seed', '7'], ['Most tokens of an answer', '8']])
      await page.getByRole('spinbutton', { name }).fill(value);
    await page.getByRole('textbox', { name: 'Stop strings' }).fill('沒有這個字');
    await page.keyboard.press('Escape');
    await tab.answers.last().getByRole('button', { name: 'Regenerate' }).click();
    await page.locator('.version-count', { hasText: '2/2' }).waitFor();
    await tab.settled();
    assert.equal(await page.locator('.error').count(), 0, await page.locator('.error').allTextContents().then(String));
    await page.getByText('the limit of tokens was reached').waitFor();
    assert.match(await tab.answers.last().locator('.statistics').textContent(), /^8 tokens/);
    // What the server refuses is told in its words.
    await page.keyboard.press('Control+,');
    await page.getByRole('spinbutton', { name: 'Most tokens of an answer' }).fill('9000000');
    await page.keyboard.press('Escape');
    await tab.ask('再說一次');
    assert.match(await page.locator('.error').textContent(), /max_tokens|context|tokens/);
  });

  live('stopping frees the sequence', [], async (tab, server) => {
    const { page } = tab;
    await page.keyboard.press('Control+,');
    await page.getByRole('spinbutton', { name: 'Temperature' }).fill('1.5');
    await page.keyboard.press('Escape');
    await tab.send('請寫一篇很長的文章介紹臺灣的歷史與文化。');
    await page.locator('.message[aria-busy="true"] .markdown').waitFor();
    await page.keyboard.press('Escape');
    await tab.settled();
    let running = 1;
    for (let i = 0; i < 50 && running !== 0; i++, await sleep(20)) running = await metric(server, 'vllm:num_requests_running');
    assert.equal(running, 0);
  });

  live('an API key', ['--api-key', 'sk-test-key'], async (tab) => {
    const dialog = tab.page.getByRole('dialog');
    await dialog.locator('input[type="password"]').fill('sk-test-key');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.waitFor({ state: 'detached' });
    await tab.ask('你好');
    assert.equal(await tab.page.locator('.error').count(), 0);
    assert.ok((await tab.answers.last().locator('.markdown').textContent()).length > 1);
  });
}

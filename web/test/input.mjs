// Input methods, keyboard, phone, appearance, languages, accessibility.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { sleep } from './server.mjs';
import { test } from './harness.mjs';

const SEVERAL = '# 標題\n\n文字 `code` [連結](https://example.org/)\n\n| 甲 | 乙 |\n|---|---|\n| 1 | 2 |\n\n> 引文\n\n```json\n{"a": 1, "b": [true, null, "x"]}\n```\n\n$$x^2$$\n';

test('Enter while composing does not send, in the message, an edit and a title', async (tab) => {
  const { page, server } = tab;
  const browser = await tab.context.newCDPSession(page);
  const compose = (text) => browser.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length });
  // What an input method does with the Enter that picks a word: the page sees a key of code 229 while composing.
  const enter = async (code) => {
    const key = { key: code === 229 ? 'Process' : 'Enter', code: 'Enter', windowsVirtualKeyCode: code };
    await browser.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', ...key });
    await browser.send('Input.dispatchKeyEvent', { type: 'keyUp', ...key });
  };
  await page.evaluate(() => {
    globalThis.seen = [];
    for (const type of ['compositionstart', 'compositionend', 'keydown'])
      document.addEventListener(type, (event) => globalThis.seen.push(type + (event.isComposing ? '+' : '') + (event.keyCode || '')), true);
  });
  const type = async (word, field) => {
    for (const code of [13, 229]) {
      await compose(word.slice(0, 1));
      await compose(word);
      await enter(code); // 13: a browser that tells the key, and that it composes; 229: one that does not
      assert.equal(await field.inputValue(), word);
      assert.equal(server.requests.length, 0);
      if (code === 13) await compose('');
    }
    await browser.send('Input.insertText', { text: word });
    // Safari reports the key that ended the composition after its end, as 229.
    await field.evaluate((element) => element.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true })));
    assert.equal(await field.inputValue(), word);
  };
  await tab.field.focus();
  await type('臺灣', tab.field);
  assert.equal(server.requests.length, 0);
  const seen = await page.evaluate(() => globalThis.seen);
  assert.ok(seen.includes('compositionstart') && seen.includes('keydown+13') && seen.includes('keydown+229'), seen.join());
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('b');
  assert.equal(await tab.field.inputValue(), '臺灣\nb');
  await page.keyboard.press('Enter');
  await tab.settled();
  assert.equal(server.requests.length, 1);
  assert.equal(server.requests[0].messages[0].content, '臺灣\nb');

  await page.locator('.message.user').getByRole('button', { name: 'Edit' }).click();
  const editor = page.locator('.editor textarea');
  await editor.fill('');
  await compose('高雄');
  await enter(13);
  assert.equal(server.requests.length, 1);
  assert.equal(await editor.inputValue(), '高雄');
  await compose('');
  await page.keyboard.press('Escape');

  await page.locator('.entry').getByRole('button').click();
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  const title = page.locator('.rename');
  await title.fill('');
  await compose('旅行');
  await enter(13);
  assert.ok(await title.isVisible(), 'still being written');
  await browser.send('Input.insertText', { text: '旅行' });
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: '旅行' }).waitFor();
});

test('keyboard: every shortcut', async (tab) => {
  const { page, server } = tab;
  await tab.ask('第一則');
  await page.keyboard.press('Control+Shift+O');
  await page.locator('.empty').waitFor();
  await page.waitForFunction(() => document.activeElement?.closest('.composer') !== null);
  await page.keyboard.press('Control+b');
  await page.locator('nav').waitFor({ state: 'hidden' });
  await page.keyboard.press('Control+k');
  await page.waitForFunction(() => document.activeElement?.matches('input[type=search]'));
  await page.keyboard.type('好的');
  await page.locator('.piece').waitFor();
  assert.equal(await page.locator('.piece').textContent(), '好的。');
  await page.keyboard.press('Control+,');
  await page.getByRole('dialog', { name: 'Settings' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.ok(await page.evaluate(() => document.activeElement.matches('input[type=search]')), 'focus returns');
  await page.keyboard.press('Control+/');
  await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  assert.equal(await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).locator('dt').count(), 9);
  await page.keyboard.press('Escape');
  await page.locator('.entry a').click();
  await page.locator('.message').first().waitFor();
  await tab.field.focus();
  await page.keyboard.press('ArrowUp');
  assert.equal(await page.locator('.editor textarea').inputValue(), '第一則');
  await page.keyboard.press('Escape');
  await page.locator('.editor').waitFor({ state: 'detached' });
  assert.equal(server.requests.length, 1);
});

test('phone: nothing is wider than the screen, the list lies over it, Enter is a new line', async (tab) => {
  const { page, server } = tab;
  server.answer = async (reply) => {
    await reply.text(SEVERAL + '\n```\n' + 'long '.repeat(100) + '\n```\n' + 'A'.repeat(400) + '\n\n$$' + 'x+'.repeat(150) + 'y$$\n');
    reply.end();
  };
  const wide = () => page.evaluate(() => document.scrollingElement.scrollWidth - 375);
  assert.ok(await page.locator('nav').isHidden());
  await tab.field.fill('手機');
  await tab.field.press('Enter');
  assert.equal(await tab.field.inputValue(), '手機\n');
  assert.equal(server.requests.length, 0);
  await page.getByRole('button', { name: 'Send' }).tap();
  await tab.settled();
  assert.ok((await wide()) <= 0);
  assert.ok(await page.locator('main').evaluate((element) => element.scrollWidth <= element.clientWidth));
  await page.getByRole('button', { name: 'Conversations' }).tap();
  await page.locator('nav').waitFor();
  const box = await page.locator('nav').boundingBox();
  assert.ok(box.width < 375 && box.height >= 600);
  await page.locator('.entry a').tap();
  await page.locator('nav').waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: 'Settings' }).tap();
  assert.ok((await wide()) <= 0);
  const drawer = await page.getByRole('dialog').boundingBox();
  assert.ok(drawer.x >= 0 && drawer.x + drawer.width <= 375);
  // Fingers are bigger than pointers.
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).tap();
  for (const button of await page.locator('.top button').all()) assert.ok((await button.boundingBox()).width >= 40);
}, { setup: { models: [{ id: 'Llama-3-Taiwan-70B-Instruct-128k-Q4', max_model_len: 131072 }] }, browser: { viewport: { width: 375, height: 667 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 } });

const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const LIGHT = 'rgb(255, 255, 255)';
const DARK = 'rgb(22, 27, 26)';

test('appearance: follows the system, or what was chosen', async (tab) => {
  const { page } = tab;
  assert.equal(await ground(page), LIGHT);
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.equal(await ground(page), DARK);
  await page.keyboard.press('Control+,');
  await page.getByText('Light', { exact: true }).click();
  assert.equal(await ground(page), LIGHT);
  await page.emulateMedia({ colorScheme: 'light' });
  await page.getByText('Dark', { exact: true }).click();
  assert.equal(await ground(page), DARK);
  await page.reload();
  await tab.field.waitFor();
  assert.equal(await ground(page), DARK);
});

test('languages: the browser’s at first, then the one that was chosen', async (tab) => {
  const { page, server } = tab;
  server.answer = async (reply) => {
    await reply.text('你好，很高興認識你。', { pieces: 1, every: 30 });
    reply.end();
  };
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-Hant-TW');
  await page.getByText('想聊些什麼？').waitFor();
  await tab.field.fill('你好');
  await tab.field.press('Enter');
  await page.locator('.statistics').waitFor();
  await tab.settled();
  assert.match(await page.locator('.statistics').textContent(), /個詞元 · .*個詞元\/秒 · 首個詞元/);
  await page.keyboard.press('Control+,');
  const words = await page.getByRole('dialog').innerText();
  for (const word of ['設定', '外觀', '跟隨系統', '取樣', '溫度', '亂數種子', '系統訊息', '匯出', '匯入', '金鑰']) assert.ok(words.includes(word), word);
  // What the mainland says, and what was left untranslated.
  for (const word of ['设置', '默認', '信息', '視頻', '導出', '導入', '保存', '粘貼', '令牌', 'Settings', 'Export']) assert.ok(!words.includes(word), word);
  await page.getByText('English', { exact: true }).click();
  await page.getByRole('heading', { name: 'Sampling' }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
  await page.reload();
  await page.getByRole('textbox', { name: 'Message' }).waitFor();
}, { browser: { locale: 'zh-TW' } });

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
for (const [scheme, locale] of [['light', 'zh-TW'], ['dark', 'en-US']]) {
  test(`accessibility by axe, ${scheme}`, async (tab) => {
    const { page, server } = tab;
    server.answer = async (reply) => {
      await reply.text(SEVERAL);
      reply.delta({ tool_calls: [{ index: 0, id: 'a', function: { name: '查', arguments: '{"x":1}' } }] });
      reply.end('tool_calls');
    };
    await tab.ask('你好');
    await page.evaluate(axe);
    const check = async (where) => {
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      const told = violations.map(({ id, nodes }) => `${where}: ${id}: ${nodes.map((node) => node.html.slice(0, 120) + ' ' + (node.any[0]?.message ?? '')).join('\n   ')}`);
      assert.deepEqual(told, []);
    };
    await check('conversation');
    await page.keyboard.press('Control+,');
    await page.getByRole('dialog').waitFor();
    await check('settings');
  }, { browser: { locale, colorScheme: scheme } });
}

test('the reader can scroll away while text arrives, and come back', async (tab) => {
  const { page, server } = tab;
  let go;
  const gate = new Promise((done) => (go = done));
  server.answer = async (reply) => {
    await reply.text('一行\n\n'.repeat(60), { pieces: 40 });
    await gate;
    await reply.text('再一行\n\n'.repeat(30), { pieces: 40 });
    reply.end();
  };
  await tab.send('寫長一點');
  const main = page.locator('main');
  const rest = () => main.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
  await page.waitForFunction(() => document.querySelectorAll('.message.assistant p').length >= 60);
  await sleep(100);
  assert.ok((await rest()) < 4, 'follows');
  await main.hover();
  await page.mouse.wheel(0, -900);
  await page.getByRole('button', { name: 'To the end' }).waitFor();
  const top = await main.evaluate((element) => element.scrollTop);
  go();
  await tab.settled();
  assert.equal(await main.evaluate((element) => element.scrollTop), top, 'stays where the reader is');
  await page.getByRole('button', { name: 'To the end' }).click();
  assert.ok((await rest()) < 4);
});

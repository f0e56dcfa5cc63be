// What stays in the browser: history, search, export and import.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test, Tab } from './harness.mjs';

const save = async (page, click) => {
  const [download] = await Promise.all([page.waitForEvent('download'), click()]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') };
};
const openSettings = async (page) => {
  await page.keyboard.press('Control+,');
  await page.getByRole('dialog').waitFor();
};
const exportAll = async (page) => {
  await openSettings(page);
  const file = await save(page, () => page.getByRole('button', { name: 'Export everything' }).click());
  await page.keyboard.press('Escape');
  return file;
};
const importText = async (page, text) => {
  await openSettings(page);
  await page.locator('input[type=file]').setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from(text) });
  await page.locator('.notice').waitFor();
  const notice = await page.locator('.notice').textContent();
  await page.locator('.notice').getByRole('button').click();
  await page.locator('.notice').waitFor({ state: 'detached' });
  return notice;
};

test('history: survives a reload, is searched, renamed, deleted', async (tab) => {
  const { page, server } = tab;
  server.answer = async (reply) => {
    await reply.text('關於' + reply.body.messages.at(-1).content + '的回答');
    reply.end();
  };
  await tab.ask('珍珠奶茶');
  await page.keyboard.press('Control+Shift+O');
  await tab.ask('滷肉飯\n第二行');
  assert.deepEqual(await page.locator('.entry .title').allTextContents(), ['滷肉飯', '珍珠奶茶']);
  const address = page.url();
  await page.reload();
  await page.locator('.markdown', { hasText: '關於滷肉飯' }).waitFor();
  assert.equal(page.url(), address);
  await page.getByRole('searchbox').fill('珍珠');
  await page.locator('.piece').waitFor();
  assert.equal(await page.locator('.entry').count(), 1);
  await page.locator('.entry a').click();
  await page.locator('.markdown', { hasText: '關於珍珠奶茶的回答' }).waitFor();
  await page.getByRole('searchbox').fill('沒有這種東西');
  await page.getByText('Nothing found').waitFor();
  await page.getByRole('searchbox').fill('');
  await page.locator('.entry.here').getByRole('button').click();
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  await page.locator('.rename').fill('飲料');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: '飲料' }).waitFor();
  await page.waitForFunction(() => document.title === '飲料 · twllm'); // set after the heading is drawn
  // A name that was given stays when the first message changes.
  await page.locator('.message.user').getByRole('button', { name: 'Edit' }).click();
  await page.locator('.editor textarea').fill('紅茶');
  await page.keyboard.press('Enter');
  await page.locator('.markdown', { hasText: '關於紅茶' }).waitFor();
  await tab.settled();
  assert.ok((await page.locator('.entry .title').allTextContents()).includes('飲料'));
  await page.goBack();
  await page.locator('.markdown', { hasText: '關於滷肉飯' }).waitFor();
  await page.locator('.entry.here').getByRole('button').click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.locator('.empty').waitFor();
  await page.reload();
  await page.locator('.entry').first().waitFor();
  assert.deepEqual(await page.locator('.entry .title').allTextContents(), ['飲料']);
});

test('a closed tab loses at most a second of an answer', async (tab) => {
  const { page, server } = tab;
  server.answer = async (reply) => {
    await reply.text('寫'.repeat(1000), { pieces: 1, every: 20 });
  };
  await tab.send('寫很久');
  await page.waitForFunction(() => document.querySelector('.message.assistant .markdown')?.textContent.length > 90);
  await page.reload();
  await page.getByText('The connection ended before the answer did.').waitFor();
  const kept = (await page.locator('.message.assistant .markdown').textContent()).trim().length;
  assert.ok(kept >= 20, `kept ${kept}`);
});

test('two tabs show one history', async (tab, browser) => {
  const other = await Tab.open(browser, { server: tab.server, context: tab.context });
  await tab.ask('從這裡說');
  await other.page.locator('.entry', { hasText: '從這裡說' }).click();
  await other.page.getByText('好的。').waitFor();
  await other.ask('從那裡說');
  await tab.page.locator('.message.user', { hasText: '從那裡說' }).waitFor();
  assert.equal(tab.server.requests.at(-1).messages.length, 3);
  await other.clean();
});

test('export and import give the same conversations back', async (tab) => {
  const { page, server } = tab;
  server.answer = async (reply, n) => {
    if (n === 2) reply.delta({ tool_calls: [{ index: 0, id: 'c1', function: { name: 'f', arguments: '{"a":"甲"}' } }] });
    else await reply.text('回答 𠮷 </script> "引號" ' + n);
    reply.end(n === 2 ? 'tool_calls' : 'stop');
  };
  await page.locator('.system summary').click();
  await page.getByRole('textbox', { name: 'System message' }).fill('系統');
  await tab.ask('一');
  await tab.answers.getByRole('button', { name: 'Regenerate' }).click();
  await page.locator('.tool-results textarea').fill('{"b":2}');
  await page.getByRole('button', { name: 'Send results' }).click();
  await tab.page.getByText('" 3').waitFor();
  await tab.settled();
  await page.keyboard.press('Control+Shift+O');
  await tab.ask('二');
  const first = await exportAll(page);
  assert.match(first.name, /^twllm-\d{4}-\d\d-\d\d\.json$/);
  const archive = JSON.parse(first.text);
  assert.equal(archive.conversations.length, 2);
  assert.equal(archive.conversations[1].messages.length, 5);
  assert.equal(archive.conversations[1].system, '系統');
  assert.match(await importText(page, first.text), /0 conversations imported, 2 already here/);
  await openSettings(page);
  await page.getByRole('button', { name: 'Delete everything' }).click();
  await page.getByRole('dialog', { name: 'Delete everything' }).getByRole('button', { name: 'Delete everything' }).click();
  await page.keyboard.press('Escape');
  await page.getByText('No conversations yet').waitFor();
  assert.match(await importText(page, first.text), /2 conversations imported, 0 already here/);
  const second = JSON.parse((await exportAll(page)).text);
  // Ids of messages are made anew: compared by the order in which they first appear.
  const plain = (value) => {
    const names = new Map();
    const rename = (id) => (id === null ? null : names.get(id) ?? names.set(id, names.size).get(id));
    for (const conversation of value.conversations) {
      for (const message of conversation.messages) {
        message.id = rename(message.id);
        message.parent = rename(message.parent);
      }
      conversation.leaf = rename(conversation.leaf);
    }
    return value.conversations;
  };
  assert.deepEqual(plain(second), plain(archive));
  await page.locator('.entry', { hasText: '一' }).click();
  await page.locator('.version-count', { hasText: '2/2' }).waitFor();
  // One that has gone on since then comes in beside it and replaces nothing.
  await tab.ask('三');
  assert.match(await importText(page, first.text), /1 conversations imported, 1 already here/);
  assert.equal(await page.locator('.entry').count(), 3);
});

test('an import that is not one says why, and changes nothing', async (tab) => {
  const { page } = tab;
  const good = { format: 'twllm-conversations', version: 1, conversations: [] };
  const conversation = { id: 'c', title: 't', system: '', created: 1, updated: 1, leaf: 'm', messages: [] };
  const message = { id: 'm', parent: null, order: 1, role: 'user', content: 'x', created: 1 };
  const withMessages = (...messages) => JSON.stringify({ ...good, conversations: [{ ...conversation, messages }] });
  const cases = [
    ['{', /not JSON/],
    ['[]', /file: not an object/],
    ['{"format":"x"}', /format/],
    [JSON.stringify({ ...good, version: 2 }), /version/],
    [JSON.stringify({ ...good, conversations: {} }), /conversations: not a list/],
    [withMessages({ ...message, content: 5 }), /conversations\[0\]\.messages\[0\]\.content: not a string/],
    [withMessages({ ...message, role: 'system' }), /role: system/],
    [withMessages({ ...message, parent: 'gone' }), /hangs in the air/],
    [withMessages({ ...message, parent: 'm' }), /hangs in the air/],
    [withMessages(message, message), /two messages of one id/],
    [withMessages({ ...message, toolCalls: [{ id: 'a', name: {}, arguments: '' }] }), /toolCalls\[0\]\.name/],
  ];
  for (const [text, why] of cases) assert.match(await importText(page, text), why, text);
  await page.getByText('No conversations yet').waitFor();
});

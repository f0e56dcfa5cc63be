// The page of `twllm eval board`: made of real and hostile results, opened from a file, as a lab would publish it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from './harness.mjs';
import { program } from './real.mjs';

const hostile = '</script><img src=x onerror="globalThis.bad = 1">';
const run = (model, scores, more = {}) => ({
  results: {},
  groups: Object.fromEntries(Object.entries(scores).map(([task, [acc, stderr]]) => [task, { alias: task, 'acc,none': acc, 'acc_stderr,none': stderr, average: 'micro', sample_len: 100 }])),
  config: { model_args: model, dtype: 'BF16', weights_fingerprint: 'abc' },
  date: '2026-01-02T03:04:05Z',
  ...more,
});

function makeBoard() {
  const folder = mkdtempSync(join(tmpdir(), 'board-'));
  const put = (name, value) => {
    mkdirSync(join(folder, 'runs', name), { recursive: true });
    writeFileSync(join(folder, 'runs', name, 'results.json'), typeof value === 'string' ? value : JSON.stringify(value));
  };
  put('a', run('lab/one', { tmlu: [0.5, 0.02], twllm_eval: [0.9, 0.01] }));
  put('b', run('lab/two', { tmlu: [0.8, 0.01], my_task: [0.25, 0.1] }));
  put('deep/er/c', run(hostile, { tmlu: [0.1, 'N/A'] }));
  // As lm-evaluation-harness writes it: no groups.
  put('d', { results: { arc: { 'acc,none': 0.3, 'acc_stderr,none': 0.05, alias: 'arc' } }, model_name: 'their/model', config: { model: 'hf' }, date: 1700000000.5 });
  put('broken', '{"results": ');
  put('empty', '{"results": {}}');
  const said = execFileSync(program, ['eval', 'board', join(folder, 'runs'), '--output', join(folder, 'board.html')], { encoding: 'utf8' });
  return { folder, said, page: join(folder, 'board.html') };
}

const board = (name, body, context = { locale: 'en-US' }) =>
  test('board: ' + name, async (browser) => {
    const made = makeBoard();
    const page = await (await browser.newContext(context)).newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('request', (request) => request.url() !== pathToFileURL(made.page).href && problems.push('request: ' + request.url()));
    try {
      await page.goto(pathToFileURL(made.page).href);
      await body(page, made);
      assert.deepEqual(problems, []);
    } finally {
      await page.context().close();
      rmSync(made.folder, { recursive: true });
    }
  }, { bare: true });

const names = (page) => page.locator('tbody th').evaluateAll((cells) => cells.map((cell) => cell.firstChild.textContent));

board('what is broken is named and left out', async (page, { said }) => {
  assert.match(said, /left out: broken\/results\.json/);
  assert.match(said, /left out: empty\/results\.json: no results with a score/);
  assert.match(said, /4 runs/);
  const found = await names(page);
  assert.deepEqual(found.slice(0, 4), ['lab/one', 'lab/two', 'their/model', hostile]); // by folder
  assert.equal(found.length, 4 + 21);
});

board('text of results stays text', async (page, { page: file }) => {
  assert.equal(await page.evaluate(() => globalThis.bad), undefined);
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(readFileSync(file, 'utf8').split('</script>').length, 3);
});

board('sorted by a click, without numbers last', async (page) => {
  await page.locator('thead button').nth(1).click();
  const values = async () => (await page.locator('tbody tr').evaluateAll((rows) => rows.map((row) => parseFloat(row.children[1].textContent)))).map((v) => (Number.isNaN(v) ? null : v));
  let got = await values();
  const known = got.filter((v) => v !== null);
  assert.equal(known.length, 22); // 19 published ones and three of ours
  assert.deepEqual(known, [...known].sort((a, b) => b - a));
  assert.ok(got.slice(known.length).every((v) => v === null));
  assert.equal(known[0], 80);
  assert.equal(await page.locator('thead th').nth(1).getAttribute('aria-sort'), 'descending');
  await page.locator('thead button').nth(1).press('Enter');
  got = (await values()).filter((v) => v !== null);
  assert.deepEqual(got, [...got].sort((a, b) => a - b));
  await page.getByRole('button', { name: 'Model' }).click();
  const sorted = await names(page);
  assert.deepEqual(sorted, [...sorted].sort((a, b) => a.localeCompare(b, 'en')));
});

board('one task alone, names, published rows', async (page) => {
  await page.getByLabel('Task').selectOption('my_task');
  assert.deepEqual(await names(page), ['lab/two']);
  assert.equal(await page.locator('thead th').count(), 2);
  await page.getByLabel('Task').selectOption('tmlu');
  await page.getByLabel('Show published rows').uncheck();
  assert.deepEqual(await names(page), ['lab/two', 'lab/one', hostile]); // the best first
  await page.getByLabel('Name of a model').fill('LAB/ONE');
  assert.deepEqual(await names(page), ['lab/one']);
  assert.equal(await page.getByRole('status').textContent(), '1 rows');
});

board('bars and intervals are as long as the numbers', async (page) => {
  await page.getByLabel('Task').selectOption('tmlu');
  const row = page.locator('tr.own', { hasText: 'lab/one' });
  assert.match(await row.textContent(), /50\.00% ± 3\.92/);
  const box = async (name) => row.locator(name).boundingBox();
  const [bar, fill, whisker] = [await box('.bar'), await box('.fill'), await box('.whisker')];
  assert.ok(Math.abs(fill.width / bar.width - 0.5) < 0.01);
  assert.ok(Math.abs((whisker.x - bar.x) / bar.width - (0.5 - 0.0392)) < 0.01);
  assert.ok(Math.abs((whisker.x + whisker.width - bar.x) / bar.width - (0.5 + 0.0392)) < 0.02);
  assert.equal(await page.locator('tr.own', { hasText: 'onerror' }).locator('.whisker').count(), 0); // no standard error, no interval
  const mt = page.locator('tr.seed', { hasText: 'Llama-3-Taiwan-70B-Instruct' }).first();
  await page.getByLabel('Task').selectOption('mt-bench');
  const wide = (await mt.locator('.fill').boundingBox()).width / (await mt.locator('.bar').boundingBox()).width;
  assert.ok(Math.abs(wide - 0.754) < 0.01); // of ten
});

board('in Mandarin for who reads Mandarin', async (page) => {
  assert.equal(await page.locator('h1').textContent(), '評測排行榜');
  assert.equal(await page.getByRole('button', { name: '學科知識' }).count(), 1);
  await page.getByRole('button', { name: 'English' }).click();
  assert.equal(await page.locator('html').getAttribute('lang'), 'en');
}, { locale: 'zh-TW', viewport: { width: 390, height: 800 } });

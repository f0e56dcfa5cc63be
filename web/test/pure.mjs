// The parts that need no browser, and the build itself.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { build } from 'esbuild';
import MarkdownIt from 'markdown-it';
import { test } from './harness.mjs';

const web = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = mkdtempSync(join(tmpdir(), 'twllm-web-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const run = promisify(execFile);

async function load(name) {
  const outfile = join(folder, name + '.mjs');
  await build({ entryPoints: [join(web, 'src', name + '.ts')], bundle: true, format: 'esm', platform: 'node', outfile, logLevel: 'error' });
  return import(pathToFileURL(outfile).href);
}
// The same numbers on every run.
function numbers(seed) {
  return (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

test('server-sent events: however the bytes are cut', async () => {
  const { EventParser } = await load('sse');
  const stream = ': hello\r\n\r\ndata: {"a":"臺灣𠮷"}\n\ndata:no space\ndata: second line\r\n\r\nevent: x\nid: 1\ndata\n\nretry: 5\r\rdata: cr\r\rdata: [DONE]\n\ndata: unfinished';
  const expected = ['{"a":"臺灣𠮷"}', 'no space\nsecond line', '', 'cr', '[DONE]'];
  const bytes = new TextEncoder().encode(stream);
  const random = numbers(1);
  for (let round = 0; round < 500; round++) {
    const parser = new EventParser();
    const events = [];
    for (let from = 0; from < bytes.length; ) {
      const to = round === 0 ? bytes.length : from + 1 + random(round % 7 === 0 ? 1 : 9);
      events.push(...parser.push(bytes.slice(from, to)));
      from = to;
    }
    assert.deepEqual(events, expected);
  }
}, null);

test('JSON is laid out without changing it', async () => {
  const { prettyJson, looksLikeJson } = await load('json');
  const values = [{}, [], [[]], { a: {} }, { 'a"b\\': [1, -2.5e10, 'x: {y}, [z]', true, null, { 鍵: '值' }] }];
  for (const value of values) assert.equal(prettyJson(JSON.stringify(value)), JSON.stringify(value, null, 2));
  for (const value of values) assert.equal(prettyJson(JSON.stringify(value, null, 7)), JSON.stringify(value, null, 2));
  assert.equal(prettyJson('{"n":12345678901234567890.10,"n":1}'), '{\n  "n": 12345678901234567890.10,\n  "n": 1\n}');
  for (const text of ['', '{', '"x"', '5', '{a:1}', '[1,]', 'text {"a":1}']) assert.equal(prettyJson(text), null);
  for (const text of ['{"a', ' [1', '{', '[{']) assert.ok(looksLikeJson(text), text);
  for (const text of ['[連結](x)', '{大括號}', '[x] done', 'x']) assert.ok(!looksLikeJson(text), text);
}, null);

test('emphasis beside Chinese; elsewhere as CommonMark has it', async () => {
  const { cjkPlugin } = await load('cjk');
  const plain = new MarkdownIt();
  const md = new MarkdownIt().use(cjkPlugin);
  const shown = {
    '**重點：**接著': '<strong>重點：</strong>接著',
    '請看**「這裡」**和**（那裡）**。': '請看<strong>「這裡」</strong>和<strong>（那裡）</strong>。',
    '約**100%**成長': '約<strong>100%</strong>成長',
    '這是**粗體**字': '這是<strong>粗體</strong>字',
    '*「斜」*體 ~~「刪」~~除': '<em>「斜」</em>體 <s>「刪」</s>除',
    '𠮷**（a）**𠮷': '𠮷<strong>（a）</strong>𠮷',
    '乘法 3 * 4 * 5': '乘法 3 * 4 * 5',
    'a_b_c 與 __init__': 'a_b_c 與 <strong>init</strong>',
    '甲 ** 乙 ** 丙': '甲 ** 乙 ** 丙',
  };
  for (const [source, html] of Object.entries(shown)) assert.equal(md.renderInline(source), html);
  const random = numbers(2);
  const pieces = ['a', 'b c', '*', '**', '_', '~~', ' ', '.', '(', ')', '"', '\n', '`x`', '[l](u)', 'é', '!', '1'];
  for (let round = 0; round < 3000; round++) {
    let source = '';
    for (let n = random(14); n >= 0; n--) source += pieces[random(pieces.length)];
    assert.equal(md.render(source), plain.render(source), source);
  }
}, null);

test('formulas are found, prices are not', async () => {
  const { mathPlugin } = await load('math');
  const md = new MarkdownIt().use(mathPlugin);
  const count = (source) => (md.render(source).match(/<math/g) ?? []).length;
  const formulas = { '$x$': 1, '\\(x\\)': 1, '\\[x\\]': 1, '$$x$$': 1, '$$\nx\n$$': 1, '\\[\nx\n\\]': 1, 'a $x$ b $y$': 2, '- $$x$$\n- $y$': 2, '文$a$字': 1 };
  for (const [source, n] of Object.entries(formulas)) assert.equal(count(source), n, source);
  for (const source of ['$5 和 $10', '$ x $', '`$x$`', '\\$x$', '$x', '$$x', '```\n$x$\n```', '$\\undefinedmacro{x}$', '    $$x$$', 'US$5/NT$160'])
    assert.equal(count(source), 0, source);
  assert.ok(!/ style=/.test(md.render('$\\boxed{x}$ $\\color{red}{x}$ $\\rule{1em}{1em}$ $\\colorbox{red}{x}$')));
  // A formula that expands without end is given up, quickly.
  const begin = Date.now();
  assert.equal(count('$\\def\\x{\\x\\x}\\x$'), 0);
  assert.ok(Date.now() - begin < 2000);
}, null);

test('the tree: versions, paths, rings', async () => {
  const { childrenOf, newestLeaf, pathTo, subtree } = await load('tree');
  const messages = new Map();
  const add = (id, parent, order) => messages.set(id, { id, parent, order });
  add('a', null, 1);
  add('b', 'a', 2);
  add('c', 'a', 5);
  add('d', 'b', 3);
  add('e', 'c', 6);
  add('f', 'e', 7);
  const ids = (list) => list.map(({ id }) => id).join('');
  assert.equal(ids(pathTo(messages, 'f')), 'acef');
  assert.equal(ids(childrenOf(messages, 'a')), 'bc');
  assert.equal(newestLeaf(messages, 'a'), 'f');
  assert.deepEqual(subtree(messages, 'c'), ['c', 'e', 'f']);
  add('x', 'y', 8);
  add('y', 'x', 9);
  assert.equal(pathTo(messages, 'x').length, 2);
  assert.equal(typeof newestLeaf(messages, 'x'), 'string');
  assert.equal(subtree(messages, 'x').length, 2);
  assert.deepEqual(pathTo(messages, 'gone'), []);
}, null);

test('an answer is put together from any chunks', async () => {
  const { addChunk } = await load('api');
  const answer = { content: '', reasoning: '', toolCalls: [] };
  const delta = (value, more) => addChunk(answer, { choices: [{ index: 0, delta: value, ...more }] });
  for (const odd of [null, 5, [], {}, { choices: 'x' }, { choices: [null] }, { choices: [{ delta: 5 }] }]) addChunk(answer, odd);
  delta({ content: null, tool_calls: [null, { index: -1 }, { index: 1e9 }, { index: 0.5 }] });
  delta({ role: 'assistant', content: '甲' });
  delta({ tool_calls: [{ index: 1, id: 'b', function: { name: 'g', arguments: '{' } }] });
  delta({ tool_calls: [{ index: 0, id: 'a', function: { name: 'f' } }, { index: 1, function: { arguments: '}' } }] });
  delta({}, { finish_reason: 'tool_calls' });
  addChunk(answer, { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4, prompt_tokens_details: { cached_tokens: 2 } } });
  assert.equal(answer.content, '甲');
  assert.equal(answer.toolCalls.length, 2);
  assert.deepEqual(answer.toolCalls[1], { id: 'b', name: 'g', arguments: '{}' });
  assert.deepEqual(answer.usage, { prompt: 3, completion: 4, cached: 2 });
  assert.equal(answer.finish, 'tool_calls');
  assert.throws(() => addChunk(answer, { error: { message: '壞了' } }), /壞了/);
}, null);

test('types', async () => {
  await run(process.execPath, [join(web, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', web]).catch((error) => assert.fail(error.stdout));
}, null);

test('web/dist is what web/src builds', async () => {
  const target = join(folder, 'dist');
  await run(process.execPath, [join(web, 'build.mjs'), target]);
  const dist = join(web, 'dist');
  assert.deepEqual(readdirSync(target).sort(), readdirSync(dist).sort());
  const plain = (bytes) => bytes.toString().replace(/^(PAGE_ASSET\(.*, \d+, )\d+(, "\w+"\))$/gm, '$1$2'); // sizes of gzip twins
  for (const name of readdirSync(dist)) {
    const [built, committed] = [target, dist].map((where) => readFileSync(join(where, name)));
    if (name.endsWith('.gz')) assert.ok(gunzipSync(committed).equals(readFileSync(join(dist, name.slice(0, -3)))), name);
    else assert.equal(plain(built) === plain(committed), true, `${name} is not what the sources build: run make web`);
  }
}, null);
writeFileSync(join(folder, 'package.json'), '{"type":"module"}');

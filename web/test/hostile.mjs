// Text that wants to be a program: in answers, messages, titles, tool calls, errors, model names and imported files.

import assert from 'node:assert/strict';
import { test } from './harness.mjs';

const mark = 'globalThis.ran=1;alert(1)';
const CORPUS = [
  `<script>${mark}</script>`,
  `<img src=x onerror="${mark}">`,
  `<img src="https://evil.example/a.png">`,
  `<svg onload="${mark}"><script>${mark}</script><a xlink:href="javascript:${mark}"><text y=20>x</text></a></svg>`,
  `<math href="javascript:${mark}"><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=${mark}&gt;">`,
  `<form><math><mtext></form><form><mglyph><style></math><img src onerror=${mark}>`,
  `<iframe srcdoc="<script>parent.${mark}</script>"></iframe><iframe src="javascript:${mark}"></iframe>`,
  `<object data="javascript:${mark}"></object><embed src="data:text/html,<script>${mark}</script>">`,
  `<details open ontoggle="${mark}">`,
  `<body onload="${mark}"><input autofocus onfocus="${mark}"><video><source onerror="${mark}"></video>`,
  `<a href="javascript:${mark}">x</a><base href="https://evil.example/"><meta http-equiv="refresh" content="0;url=https://evil.example/">`,
  `<style>@import url(https://evil.example/x.css);*{background:url(https://evil.example/)}</style><link rel=stylesheet href=https://evil.example/x.css>`,
  `<template><script>${mark}</script></template><noscript><p title="</noscript><img src=x onerror=${mark}>"></noscript>`,
  `[link](javascript:${mark}) [link](JaVaScRiPt:${mark}) [link](java&#x73;cript:${mark}) [l](vbscript:x) [l](data:text/html,<script>${mark}</script>)`,
  `[link](\u0001javascript:${mark}) [link](<java\nscript:${mark}>) [a](file:///etc/passwd) [b](//evil.example/) [c](/v1/models) [d](#page)`,
  `<javascript:${mark}> <https://evil.example/"onmouseover="${mark}> javascript:${mark}`,
  `![picture](https://evil.example/track.png) ![x](javascript:${mark}) ![x](data:image/svg+xml,<svg onload=${mark}>) ![x" onerror="${mark}](x)`,
  `[x](https://a.example/"onclick="${mark}) [x](https://a.example 'title" onmouseover="${mark}')`,
  `[ref]: javascript:${mark} "t"\n\n[ref] [a][ref]`,
  '```html"onmouseover="' + mark + '\n</code></pre><script>' + mark + '</script>\n```',
  '```<img/src=x/onerror=' + mark + '>\ncode\n```',
  '~~~js\n</code><img src=x onerror=' + mark + '>\n~~~',
  '`</code><img src=x onerror=' + mark + '>`',
  `$\\href{javascript:${mark}}{x}$ $\\url{javascript:${mark}}$ $\\includegraphics{https://evil.example/x.png}$`,
  `$\\htmlStyle{background:url(https://evil.example/)}{x}$ $\\htmlData{a=b}{x}$ $\\htmlClass{x" onclick="${mark}}{x}$`,
  `$\\text{<img src=x onerror=${mark}>}$ $$\\unicode{<script>${mark}</script>}$$ $\\color{red;background:url(//evil.example)}{x}$`,
  `$$\\def\\x{\\x\\x}\\x$$ $$\\rule{1e9em}{1e9em}$$ $\\boxed{x}$ $\\colorbox{red}{y}$ $\\cancel{z}$ $\\begin{array}{c|c}a&b\\\\\\hline c&d\\end{array}$`,
  `| <img src=x onerror=${mark}> | [x](javascript:${mark}) |\n|:-:|---|\n| </td></table><script>${mark}</script> | x |`,
  `# <svg/onload=${mark}>\n> <img src=x onerror=${mark}>\n\n- <script>${mark}</script>\n1. <a href=javascript:${mark}>x</a>`,
  `<div id="page" name="body"><form id=document><input name=body><img name=getElementById></form>`,
  `&lt;script&gt;${mark}&lt;/script&gt; &#60;img src=x onerror=${mark}&#62; \\<script\\>${mark}\\</script\\>`,
  `<x\u0000y><scr\u0000ipt>${mark}</scr\u0000ipt>\ud800 \u202e evil`,
];

// What must not be in the page, wherever it came from.
async function harmless(tab, where) {
  const found = await tab.page.evaluate(() => {
    const bad = [];
    const tags = 'script,iframe,object,embed,style,link,base,meta,img,video,audio,source,template,form[id],image,use,foreignObject';
    for (const element of document.querySelectorAll(tags)) if (!element.closest('head')) bad.push(element.outerHTML);
    for (const element of document.querySelectorAll('*')) {
      for (const { name, value } of element.attributes) {
        if (/^on/i.test(name) || name === 'srcdoc' || name === 'xlink:href') bad.push(element.outerHTML);
        if (/^\s*(javascript|vbscript|data|file):/i.test(value)) bad.push(element.outerHTML);
        if (name === 'style' && element.tagName !== 'TEXTAREA') bad.push(element.outerHTML);
      }
      if (element.tagName === 'A' && element.closest('.message')) {
        if (element.hasAttribute('href') && !/^(https?|mailto):/.test(element.getAttribute('href'))) bad.push(element.outerHTML);
        if (!element.relList.contains('noopener')) bad.push(element.outerHTML);
      }
    }
    if (globalThis.ran) bad.push('a script ran');
    return bad.map((html) => html.slice(0, 300));
  });
  assert.deepEqual(found, [], where);
}

test('hostile answers, messages, tool calls and errors stay text', async (tab) => {
  const { page, server } = tab;
  // Several to a conversation here; the imported file below has each on its own.
  const groups = [];
  for (let i = 0; i < CORPUS.length; i += 6) groups.push(CORPUS.slice(i, i + 6).join('\n\n'));
  server.answer = async (reply, n) => {
    const text = groups[n - 1];
    if (text === undefined) return reply.error(500, { message: CORPUS.join('\n') });
    reply.delta({ reasoning_content: text });
    await reply.text(text, { pieces: 40 });
    for (const [i, source] of [text, JSON.stringify({ a: text })].entries())
      reply.delta({ tool_calls: [{ index: i, id: text, function: { name: text, arguments: source } }] });
    return reply.end();
  };
  for (const text of groups) {
    await tab.ask(text);
    await harmless(tab, text);
    await page.keyboard.press('Control+Shift+O');
    await page.locator('.empty').waitFor();
  }
  assert.equal(server.requests.length, groups.length);
  await tab.ask('錯');
  await harmless(tab, 'error');
  // All of it in one answer, then every link pressed: they lead outside, nothing runs here.
  await page.keyboard.press('Control+Shift+O');
  server.answer = async (reply) => {
    await reply.text(CORPUS.join('\n\n'), { pieces: 200 });
    reply.end();
  };
  await tab.ask('全部');
  await harmless(tab, 'all');
  await page.locator('.message.assistant a:not([href])').evaluateAll((links) => links.forEach((link) => link.click()));
  await page.locator('.message.assistant a').evaluateAll((links) => links.forEach((link) => link.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }))));
  await harmless(tab, 'pressed');
  // The text is there, as text.
  assert.ok((await tab.answers.last().textContent()).includes('<script>globalThis.ran=1'));
});

test('hostile models, system prompts, imported files and addresses stay text', async (tab) => {
  const { page } = tab;
  await page.locator('.model', { hasText: '<img' }).waitFor();
  await harmless(tab, 'model');
  const messages = [];
  CORPUS.forEach((text, i) => {
    const parent = i === 0 ? null : `m${2 * i - 1}`;
    messages.push({ id: `m${2 * i}`, parent, order: 2 * i, role: 'user', content: text, created: 1 });
    messages.push({
      id: `m${2 * i + 1}`, parent: `m${2 * i}`, order: 2 * i + 1, role: i % 3 === 0 ? 'tool' : 'assistant', content: text, created: 1,
      model: text, finish: text, error: text, reasoning: text, toolCallId: text,
      toolCalls: [{ id: text, name: text, arguments: JSON.stringify(text) }],
      usage: { prompt: 1, completion: 2 }, timing: { first: 1, total: 2 },
      __proto__: { polluted: 1 }, constructor: { prototype: { polluted: 1 } },
    });
  });
  const file = {
    format: 'twllm-conversations', version: 1,
    conversations: [{ id: `"><img src=x onerror=${mark}>`, title: CORPUS.join(' '), titled: true, system: CORPUS.join('\n'), created: 1, updated: 2, leaf: messages.at(-1).id, messages }],
  };
  await page.keyboard.press('Control+,');
  await page.locator('input[type=file]').setInputFiles({
    name: 'x.json', mimeType: 'application/json',
    buffer: Buffer.from(JSON.stringify(file).replace('{"id"', '{"__proto__":{"polluted":1},"id"')),
  });
  await page.locator('.notice', { hasText: '1 conversations imported' }).waitFor();
  await page.locator('.entry a').click();
  await page.locator('.message').nth(2 * CORPUS.length - 1).waitFor();
  await harmless(tab, 'import');
  assert.equal(await page.evaluate(() => ({}).polluted), undefined);
  await page.goto(tab.server.url + `#/c/<img src=x onerror=${mark}>`);
  await page.reload();
  await tab.field.waitFor();
  await harmless(tab, 'address');
}, { setup: { models: [{ id: `<img src=x onerror="${mark}">`, max_model_len: 5 }] } });

test('the policy stops what a mistake of ours would let through', async (tab) => {
  const { page } = tab;
  const stopped = await page.evaluate(async () => {
    const results = {};
    const script = document.createElement('script');
    try {
      script.textContent = 'globalThis.ran = 1';
      document.body.append(script);
    } catch {
      results.trusted = true;
    }
    try {
      document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="globalThis.ran=1">');
    } catch {
      results.html = true;
    }
    // Behind a timer: what the debugger itself evaluates may evaluate more.
    results.eval = await new Promise((done) => setTimeout(() => {
      try {
        (0, eval)('globalThis.ran = 1');
        done(false);
      } catch {
        done(true);
      }
    }));
    results.fetch = await fetch('https://evil.example/').then(() => false, () => true);
    results.image = await new Promise((done) => {
      const image = new Image();
      image.onload = () => done(false);
      image.onerror = () => done(true);
      image.src = 'https://evil.example/x.png';
    });
    results.ran = globalThis.ran === 1;
    return results;
  });
  assert.deepEqual(stopped, { trusted: true, html: true, eval: true, fetch: true, image: true, ran: false });
  const seen = await page.evaluate(() => globalThis.violations.splice(0));
  assert.ok(seen.length >= 4);
  tab.problems = tab.problems.filter((problem) => !/Content Security Policy|Trusted|evil\.example/.test(problem));
});

// Conversations: streaming, stopping, versions, settings, errors.

import assert from 'node:assert/strict';
import { sleep } from './server.mjs';
import { test } from './harness.mjs';

const SAMPLE = `# 比較

**重點：**接著 *說* 明。

| 城市 | 人口 |
|:---|---:|
| 臺北 | 2,470,000 |
| 高雄 | 2,720,000 |

\`\`\`python
def greet(name: str) -> str:
    return f"你好，{name}"  # 問候
\`\`\`

行內 $e^{i\\pi} + 1 = 0$，價錢 $5 和 $10 不是公式。

$$
\\int_0^1 x^2 \\, dx = \\frac{1}{3}
$$

1. 第一
2. 第二 [連結](https://example.org/a?b=c)
`;

test('streaming Markdown: table, highlighted code, formulas, statistics', async (tab) => {
  let half;
  const gate = new Promise((done) => (half = done));
  tab.server.answer = async (reply) => {
    await reply.text(SAMPLE.slice(0, 150));
    await gate;
    await reply.text(SAMPLE.slice(150), { every: 1 });
    reply.end();
  };
  await tab.send('比較臺北和高雄');
  const answer = tab.answers.first();
  await answer.locator('table').waitFor();
  // A block that is finished is not made again while the rest arrives.
  await answer.locator('h1').evaluate((element) => (element.mark = 1));
  assert.equal(await answer.getAttribute('aria-busy'), 'true');
  half();
  await tab.settled();
  assert.equal(await answer.locator('h1').evaluate((element) => element.mark), 1);
  assert.equal(await answer.locator('strong').first().textContent(), '重點：');
  assert.equal(await answer.locator('td').nth(3).textContent(), '2,720,000');
  assert.equal(await answer.locator('td').nth(3).getAttribute('align'), 'right');
  assert.ok((await answer.locator('pre .hljs-keyword').allTextContents()).includes('def'));
  assert.equal(await answer.locator('math').count(), 2);
  assert.equal(await answer.locator('math[display="block"] mfrac').count(), 1);
  assert.ok((await answer.textContent()).includes('價錢 $5 和 $10 不是公式'));
  assert.ok(!(await answer.textContent()).includes('\\int'), 'the source of a formula is not shown');
  const link = answer.locator('a');
  assert.equal(await link.getAttribute('href'), 'https://example.org/a?b=c');
  assert.match(await link.getAttribute('rel'), /noopener/);
  assert.match(await answer.locator('.statistics').textContent(), /\d+ tokens · [\d,.]+ tokens\/s · first token [\d.]+ s/);
  assert.match(await tab.page.locator('.context').textContent(), /of 2,048 tokens/);
});

test('copying code and a whole answer', async (tab) => {
  await tab.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  tab.server.answer = async (reply) => {
    await reply.text('看：\n```c\nint main(void) { return 0; }\n```\n');
    reply.end();
  };
  await tab.ask('C');
  await tab.answers.getByRole('button', { name: 'Copy' }).first().click();
  await tab.answers.getByRole('button', { name: 'Copied' }).waitFor();
  assert.equal(await tab.page.evaluate(() => navigator.clipboard.readText()), 'int main(void) { return 0; }\n');
  await tab.answers.locator('.actions').getByRole('button', { name: 'Copy' }).click();
  await tab.page.waitForFunction(() => navigator.clipboard.readText().then((text) => text.startsWith('看')));
});

test('the request: system prompt, sampling, stop, hant, usage', async (tab) => {
  const { page } = tab;
  await page.locator('.system summary').click();
  await page.getByRole('textbox', { name: 'System message' }).fill('你是一個樂於助人的臺灣助理。');
  await page.getByRole('button', { name: 'Settings' }).first().click();
  const values = { Temperature: '0.7', 'Top-p': '0.9', 'Top-k': '50', 'Min-p': '0.05', 'Repetition penalty': '1.1', 'Most tokens of an answer': '128', Seed: '42' };
  for (const [name, value] of Object.entries(values)) await page.getByRole('spinbutton', { name }).fill(value);
  await page.getByRole('textbox', { name: 'Stop strings' }).fill('###\n完');
  await page.getByRole('switch', { name: 'Traditional Chinese only' }).check();
  await page.getByRole('spinbutton', { name: 'Temperature' }).fill('99');
  await page.getByText('Between 0 and 5').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  await tab.ask('你好');
  assert.deepEqual(tab.server.requests[0], {
    model: 'embedded',
    messages: [
      { role: 'system', content: '你是一個樂於助人的臺灣助理。' },
      { role: 'user', content: '你好' },
    ],
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
    temperature: 0.7, top_p: 0.9, top_k: 50, min_p: 0.05, max_tokens: 128, seed: 42, repetition_penalty: 1.1,
    stop: ['###', '完'], script: 'hant',
  });
  // Settings last; defaults of the server are shown where nothing is set.
  await page.reload();
  await tab.field.waitFor();
  await page.keyboard.press('Control+,');
  assert.equal(await page.getByRole('spinbutton', { name: 'Seed' }).inputValue(), '42');
  await page.getByRole('button', { name: /server’s defaults/ }).click();
  assert.equal(await page.getByRole('spinbutton', { name: 'Seed' }).inputValue(), '');
  assert.equal(await page.getByRole('spinbutton', { name: 'Temperature' }).getAttribute('placeholder'), '0.6');
});

test('stop: the text stays, the server sees the client go', async (tab) => {
  tab.server.answer = async (reply) => {
    await reply.text('一二三四五六七八九十'.repeat(200), { pieces: 1, every: 10 });
  };
  for (const how of ['button', 'escape']) {
    await tab.send('數數');
    await tab.page.locator('.message[aria-busy="true"]', { hasText: '一二三' }).waitFor();
    if (how === 'button') await tab.page.getByRole('button', { name: 'Stop' }).click();
    else await tab.page.keyboard.press('Escape');
    await tab.settled();
    assert.match(await tab.answers.last().textContent(), /一二三[^]*Stopped\./);
    const reply = tab.server.replies.at(-1);
    for (let i = 0; i < 100 && !reply.gone; i++) await sleep(10);
    assert.ok(reply.gone);
  }
  // What was stopped is part of the conversation all the same.
  assert.match(tab.server.requests[1].messages[1].content, /^一二三/);
});

test('regenerate makes versions to switch between', async (tab) => {
  tab.server.answer = async (reply, n) => {
    await reply.text(`第 ${n} 次回答`);
    reply.end();
  };
  await tab.ask('問');
  await tab.answers.getByRole('button', { name: 'Regenerate' }).click();
  await tab.page.getByText('第 2 次回答').waitFor();
  await tab.settled();
  assert.equal(await tab.page.locator('.version-count').textContent(), '2/2');
  await tab.page.getByRole('button', { name: 'Previous version' }).click();
  await tab.page.getByText('第 1 次回答').waitFor();
  assert.equal(await tab.page.locator('.version-count').textContent(), '1/2');
  assert.ok(await tab.page.getByRole('button', { name: 'Previous version' }).isDisabled());
  assert.deepEqual(tab.server.requests[0].messages, tab.server.requests[1].messages);
  // The version that is shown is the one that is continued, and remembered.
  await tab.ask('再問');
  assert.equal(tab.server.requests[2].messages[1].content, '第 1 次回答');
  await tab.page.reload();
  await tab.page.getByText('第 1 次回答').waitFor();
  assert.equal(await tab.page.getByText('第 2 次回答').count(), 0);
});

test('edit branches: both branches keep all that follows', async (tab) => {
  const { page } = tab;
  tab.server.answer = async (reply) => {
    await reply.text('回答「' + reply.body.messages.at(-1).content + '」');
    reply.end();
  };
  await tab.ask('甲');
  await tab.ask('乙');
  await page.locator('.message.user').first().getByRole('button', { name: 'Edit' }).click();
  const editor = page.locator('.editor textarea');
  await editor.fill('丙');
  await editor.press('Enter');
  await page.getByText('回答「丙」').waitFor();
  await tab.settled();
  assert.deepEqual(tab.server.requests.at(-1).messages, [{ role: 'user', content: '丙' }]);
  assert.equal(await page.locator('.message').count(), 2);
  await page.getByRole('button', { name: 'Previous version' }).click();
  await page.getByText('回答「乙」').waitFor();
  assert.equal(await page.locator('.message').count(), 4);
  // An answer can be rewritten; nothing is asked of the server then.
  const before = tab.server.requests.length;
  await tab.answers.last().getByRole('button', { name: 'Edit' }).click();
  await page.locator('.editor textarea').fill('改寫的回答');
  await page.getByRole('button', { name: 'Save as a new version' }).click();
  await page.getByText('改寫的回答').waitFor();
  assert.equal(tab.server.requests.length, before);
  assert.equal(await tab.answers.last().locator('.version-count').textContent(), '2/2');
});

const TOOL = { name: 'get_weather', description: '查天氣', parameters: { type: 'object', properties: { 城市: { type: 'string' } } } };

test('tool calls: arguments in pieces, shown readably, results sent back', async (tab) => {
  const { page, server } = tab;
  await page.keyboard.press('Control+,');
  await page.getByRole('textbox', { name: /^Tools/ }).fill('[{"name":');
  await page.getByText(/Not valid/).waitFor();
  await page.getByRole('textbox', { name: /^Tools/ }).fill(JSON.stringify([TOOL]));
  await page.keyboard.press('Escape');
  server.answer = async (reply, n) => {
    if (n === 1) {
      const call = (index, fields) => reply.delta({ tool_calls: [{ index, ...fields }] });
      call(0, { id: 'call_a', type: 'function', function: { name: 'get_weather', arguments: '' } });
      for (const piece of ['{"城', '市":"臺', '北","度":12345678901234567890}']) call(0, { function: { arguments: piece } });
      call(1, { id: 'call_b', type: 'function', function: { name: 'get_weather', arguments: '{"城市":"高雄"}' } });
      reply.end('tool_calls');
    } else {
      await reply.text('臺北 25 度，高雄 28 度。');
      reply.end();
    }
  };
  await tab.ask('天氣如何？');
  assert.deepEqual(server.requests[0].tools, [{ type: 'function', function: TOOL }]);
  const code = await tab.answers.first().locator('.tool-call pre').first().textContent();
  assert.equal(code, '{\n  "城市": "臺北",\n  "度": 12345678901234567890\n}');
  const fields = page.locator('.tool-results textarea');
  await fields.nth(0).fill('{"度":25}');
  await fields.nth(1).fill('{"度":28}');
  await page.getByRole('button', { name: 'Send results' }).click();
  await page.getByText('臺北 25 度').waitFor();
  await tab.settled();
  assert.deepEqual(server.requests[1].messages.slice(1), [
    {
      role: 'assistant', content: null,
      tool_calls: [
        { id: 'call_a', type: 'function', function: { name: 'get_weather', arguments: '{"城市":"臺北","度":12345678901234567890}' } },
        { id: 'call_b', type: 'function', function: { name: 'get_weather', arguments: '{"城市":"高雄"}' } },
      ],
    },
    { role: 'tool', tool_call_id: 'call_a', content: '{"度":25}' },
    { role: 'tool', tool_call_id: 'call_b', content: '{"度":28}' },
  ]);
  assert.equal(await page.locator('.tool-results').count(), 0);
});

test('a JSON answer is laid out; the schema is sent', async (tab) => {
  const { page, server } = tab;
  const schema = { type: 'object', properties: { 姓名: { type: 'string' } }, required: ['姓名'] };
  await page.keyboard.press('Control+,');
  await page.getByText('JSON Schema', { exact: true }).first().click();
  await page.getByRole('textbox', { name: 'JSON Schema' }).fill(JSON.stringify(schema));
  await page.keyboard.press('Escape');
  server.answer = async (reply) => {
    await reply.text('{"姓名":"小明","分數":[1,2.50]}');
    reply.end();
  };
  await tab.ask('給我 JSON');
  assert.deepEqual(server.requests[0].response_format, { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } });
  const code = tab.answers.locator('pre');
  assert.equal(await code.textContent(), '{\n  "姓名": "小明",\n  "分數": [\n    1,\n    2.50\n  ]\n}');
  assert.ok((await tab.answers.locator('.hljs-attr').count()) === 2);
  await page.getByRole('button', { name: 'Raw' }).click();
  assert.equal(await code.textContent(), '{"姓名":"小明","分數":[1,2.50]}');
});

test('an API key is asked for, used, and not remembered unless wanted', async (tab) => {
  const { page, server } = tab;
  await page.getByText('This server asks for an API key.').waitFor();
  const dialog = page.getByRole('dialog');
  await dialog.locator('input[type="password"]').fill('wrong');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByText('The server refuses this key.').waitFor();
  await dialog.locator('input[type="password"]').fill('sk-secret');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.waitFor({ state: 'detached' });
  await tab.ask('你好');
  assert.equal(await page.evaluate(() => localStorage.getItem('twllm.api-key')), null);
  // The key changes while the page is open: the question is asked again, and the message is not lost.
  server.key = 'sk-new';
  await tab.send('還在嗎');
  await page.getByText('The server refuses this key.').waitFor();
  await dialog.locator('input[type="password"]').fill('sk-new');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.locator('.message.assistant').nth(1).getByText('好的。').waitFor();
  await tab.settled();
  assert.equal(server.requests.at(-1).messages.at(-1).content, '還在嗎');
  assert.equal(await page.locator('.error').count(), 0);
}, { setup: { key: 'sk-secret' } });

test('errors are told and can be tried again', async (tab) => {
  const { page, server } = tab;
  const again = async (answer) => {
    server.answer = answer;
    await page.getByRole('button', { name: 'Try again' }).click();
  };
  server.answer = (reply) => reply.error(400, { message: 'prompt has 3000 tokens, the context holds 2048' });
  await tab.ask('你好');
  await page.getByText('prompt has 3000 tokens').waitFor();
  await again((reply) => reply.error(429, { message: 'queue full' }, { 'retry-after': '3' }));
  await page.getByText('Try again in 3 s.').waitFor();
  await again((reply) => reply.response.destroy());
  await page.getByText('The server cannot be reached.').waitFor();
  await again(async (reply) => {
    await reply.text('開頭');
    await page.getByText('開頭').waitFor();
    reply.event({ error: { message: 'the engine <b>stopped</b>' } });
    reply.response.end();
  });
  await page.getByText('the engine <b>stopped</b>').waitFor();
  // Errors that had no text left no version behind; this one has some.
  assert.equal(await page.locator('.version-count').count(), 0);
  await again(async (reply) => {
    await reply.text('寫到一半');
    await page.getByText('寫到一半').waitFor(); // what the browser has not handed on yet would go with the connection
    reply.response.destroy();
  });
  await page.getByText('The connection ended before the answer did.').waitFor();
  server.answer = async (reply) => {
    await reply.text('這次好了');
    reply.end('length');
  };
  await tab.answers.getByRole('button', { name: 'Regenerate' }).click();
  await page.getByText('the limit of tokens was reached').waitFor();
  assert.equal(await page.locator('.version-count').textContent(), '3/3');
});

test('reasoning stands apart from the answer', async (tab) => {
  tab.server.answer = async (reply) => {
    reply.delta({ reasoning_content: '先想一想' });
    await reply.text('答案');
    reply.end();
  };
  await tab.ask('想');
  await tab.answers.locator('details.reasoning summary').click();
  assert.equal(await tab.answers.locator('details.reasoning .markdown').textContent().then((text) => text.trim()), '先想一想');
  assert.equal(await tab.answers.locator('.content > .markdown').textContent().then((text) => text.trim()), '答案');
});

test('two conversations answer at once', async (tab) => {
  const { page, server } = tab;
  const gates = [];
  server.answer = async (reply, n) => {
    await reply.text(`對話${n}開始，`);
    await new Promise((done) => (gates[n] = done));
    await reply.text('結束');
    reply.end();
  };
  await tab.send('一');
  await page.getByText('對話1開始').waitFor();
  await page.keyboard.press('Control+Shift+O');
  await page.locator('.empty').waitFor();
  await tab.send('二');
  await page.getByText('對話2開始').waitFor();
  gates[1]();
  gates[2]();
  await page.getByText('對話2開始，結束').waitFor();
  await page.locator('.entry a', { hasText: '一' }).click();
  await page.getByText('對話1開始，結束').waitFor();
});

test('streamed text looks as it does when it is shown at once', async (tab) => {
  const { page, server } = tab;
  const text = SAMPLE + '\n- 甲\n- 乙\n\n  段落\n\n> 引用 **粗\n> 體**\n\n標題\n---\n\n[參考][r] 與 `碼`\n\n```js\nlet a = `b`; // c\n```\n' + SAMPLE + '\n[r]: https://example.org/r\n\n| a | b |\n|---|---|\n| `x|` | $y$ |\n\n<b>不是標籤</b>';
  for (const pieces of [1, 5, 64]) {
    await page.keyboard.press('Control+Shift+O');
    server.answer = async (reply) => {
      // A pause now and then: each pause is a frame, and so a state that was shown.
      for (let i = 0, n = 0; i < text.length && !reply.gone; i += pieces, n++) {
        reply.delta({ content: text.slice(i, i + pieces) });
        if (n % 8 === 0) await sleep(4);
      }
      reply.end();
    };
    await tab.ask('寫');
    const html = () => tab.answers.first().locator('.markdown').evaluate((element) => element.innerHTML);
    const streamed = await html();
    await page.reload();
    await tab.settled();
    await tab.answers.first().locator('.markdown table').first().waitFor();
    assert.equal(streamed, await html());
  }
});

test('what the server says about system messages is shown', async (tab) => {
  await tab.page.locator('.system summary', { hasText: 'advises' }).waitFor();
  tab.server.properties = { ...tab.server.properties, default_system_message: '你是助理' };
  await tab.page.reload();
  await tab.page.locator('.system summary', { hasText: 'the server’s: 你是助理' }).waitFor();
  await tab.ask('嗨');
  assert.equal(tab.server.requests[0].messages.length, 1);
}, { setup: { properties: { system_recommended: true } } });

test('the speed counts what arrives after the first moment', async (tab) => {
  tab.server.answer = async (reply) => {
    await reply.text('一二三四五六七八九十'.repeat(4), { pieces: 1 }); // 40 tokens at once
    await sleep(400);
    await reply.text('一二三四五六七八九十', { pieces: 1, every: 40 }); // 10 in 400 ms
    reply.end();
  };
  await tab.ask('數');
  const [, speed] = /50 tokens · ([\d.,]+) tokens\/s/.exec(await tab.answers.locator('.statistics').textContent());
  assert.ok(Number(speed) < 20, speed); // 10 tokens in 800 ms or more; all 50 would be 60
});

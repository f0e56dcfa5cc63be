// The openai package for JavaScript against a running server: node openai.mjs BASE_URL MODEL
// Prints one JSON object of what it got; a failed expectation ends it with an error.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "token", maxRetries: 0, timeout: 60_000 });
const messages = [{ role: "user", content: "台灣的首都是哪裡?" }];
const parameters = {
  type: "object",
  properties: { 城市: { enum: ["臺北", "高雄"] } },
  required: ["城市"],
  additionalProperties: false,
};
const tools = [{ type: "function", function: { name: "查詢天氣", description: "天氣", parameters } }];
const result = {};

assert.deepEqual((await client.models.list()).data.map((one) => one.id), [model]);

// a stream is the whole, piece by piece
const request = { model, messages, seed: 3, max_tokens: 24 };
result.whole = (await client.chat.completions.create(request)).choices[0].message.content;
let streamed = "", usage;
for await (const chunk of await client.chat.completions.create({
  ...request, stream: true, stream_options: { include_usage: true },
})) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.equal(streamed, result.whole);
assert.ok(usage.completion_tokens > 0);
const runner = client.chat.completions.stream(request);
assert.equal(await runner.finalContent(), result.whole);

// tools, in one piece, streamed, and with the result sent back
const forced = { model, messages, tools, tool_choice: "required", max_tokens: 100, seed: 1 };
const answer = await client.chat.completions.create(forced);
const [call] = answer.choices[0].message.tool_calls;
assert.equal(answer.choices[0].finish_reason, "tool_calls");
assert.equal(call.function.name, "查詢天氣");
result.city = JSON.parse(call.function.arguments).城市;
const stream = client.chat.completions.stream(forced);
const final = await stream.finalChatCompletion();
assert.deepEqual(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments), { 城市: result.city });
const more = [...messages, answer.choices[0].message, { role: "tool", tool_call_id: call.id, content: "晴" }];
await client.chat.completions.create({ model, messages: more, tools, max_tokens: 5 });

// the package's own loop: it calls the function and goes on
let asked;
const loop = client.chat.completions.runTools({
  model, messages, max_tokens: 60, seed: 1,
  tool_choice: { type: "function", function: { name: "weather" } },
  tools: [{
    type: "function",
    function: {
      name: "weather", description: "weather", parameters, parse: JSON.parse,
      function: (argument) => ((asked = argument), "晴"),
    },
  }],
});
await loop.done();
assert.ok(["臺北", "高雄"].includes(asked.城市));

// structured answers
const parsed = await client.chat.completions.parse({
  model, messages, max_tokens: 60,
  response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema: parameters } },
});
assert.ok(["臺北", "高雄"].includes(parsed.choices[0].message.parsed.城市));

// responses, embeddings, errors, leaving early
const response = await client.responses.create({ model, input: "你好", max_output_tokens: 8 });
assert.ok(response.output_text.length > 0);
const vectors = await client.embeddings.create({ model, input: ["一", "二"] });
result.width = vectors.data[0].embedding.length;
assert.equal(vectors.data.length, 2);
await assert.rejects(client.chat.completions.create({ ...request, temperature: -1 }), (error) => {
  assert.equal(error.status, 400);
  assert.equal(error.param, "temperature");
  return true;
});
const left = await client.chat.completions.create({ ...request, max_tokens: 1000, stream: true, ignore_eos: true });
for await (const _ of left) break;
console.log(JSON.stringify(result));

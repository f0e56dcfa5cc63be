// A small server that speaks the same contract as `twllm serve`, for the tests of the page: it serves dist/ with the
// headers of headers.json and answers /v1/chat/completions with whatever a test says.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = join(dirname(fileURLToPath(import.meta.url)), '..');
const headers = {
  ...JSON.parse(readFileSync(join(web, 'headers.json'), 'utf8')),
  'x-content-type-options': 'nosniff', // these are the server's own
  'cache-control': 'no-cache',
  vary: 'accept-encoding',
};
const list = readFileSync(join(web, 'dist/assets.inc'), 'utf8');
const files = new Map();
for (const [, path, type, file, , , hash] of list.matchAll(/PAGE_ASSET\(\w+, "(.*?)", "(.*?)", "(.*?)", (\d+), (\d+), "(.*?)"\)/g)) {
  files.set(path, { type, etag: `W/"${hash}"`, gzip: readFileSync(join(web, 'dist', file + '.gz')) });
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// What a reply does with the connection.
class Reply {
  constructor(response, body) {
    this.response = response;
    this.body = body;
    this.gone = false;
    this.tokens = 0;
    this.begun = false;
    response.on('close', () => (this.gone = !response.writableFinished));
  }
  begin() {
    if (this.begun) return;
    this.begun = true;
    this.response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    this.delta({ role: 'assistant', content: '' });
  }
  event(value) {
    this.response.write('data: ' + (typeof value === 'string' ? value : JSON.stringify(value)) + '\n\n');
  }
  usage() {
    return { prompt_tokens: 21, completion_tokens: this.tokens, total_tokens: 21 + this.tokens };
  }
  delta(delta, finish = null) {
    this.begin();
    this.event({
      id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: this.body.model, usage: this.usage(),
      choices: [{ index: 0, delta, finish_reason: finish, logprobs: null }],
    });
  }
  // The text in pieces of a few characters.
  async text(text, { pieces = 3, every = 0 } = {}) {
    this.begin();
    const characters = [...text];
    for (let i = 0; i < characters.length && !this.gone; i += pieces) {
      this.tokens++;
      this.delta({ content: characters.slice(i, i + pieces).join('') });
      if (every > 0) await sleep(every);
    }
  }
  end(finish = 'stop') {
    if (this.gone) return;
    this.delta({}, finish);
    this.event({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: this.body.model, choices: [], usage: this.usage() });
    this.event('[DONE]');
    this.response.end();
  }
  error(status, error, more = {}) {
    this.response.writeHead(status, { 'content-type': 'application/json', ...more });
    this.response.end(JSON.stringify({ error: { message: '', type: 'invalid_request_error', param: null, code: null, ...error } }));
  }
}

export async function startServer() {
  const state = {
    url: '',
    key: '', // when set, the interface needs it
    models: [{ id: 'embedded', max_model_len: 2048 }],
    properties: { default_generation_settings: { temperature: 0.6, top_p: 0.9, top_k: 40 } },
    requests: [], // bodies of chat completions
    replies: [],
    paths: [], // of everything asked for
    answer: async (reply) => {
      await reply.text('好的。');
      reply.end();
    },
  };
  const server = createServer(async (request, response) => {
    state.paths.push(request.url);
    const path = new URL(request.url, 'http://x').pathname;
    const file = files.get(path);
    if (file) {
      if (request.headers['if-none-match'] === file.etag) return void response.writeHead(304, { ...headers, etag: file.etag }).end();
      response.writeHead(200, { ...headers, 'content-type': file.type, 'content-encoding': 'gzip', etag: file.etag });
      return void response.end(file.gzip);
    }
    const refuse = new Reply(response, {});
    if (state.key !== '' && request.headers.authorization !== 'Bearer ' + state.key)
      return refuse.error(401, { message: 'Incorrect API key provided.', code: 'invalid_api_key' });
    const json = (value) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    if (path === '/v1/models') return json({ object: 'list', data: state.models.map((model) => ({ object: 'model', created: 1, owned_by: 'twllm', ...model })) });
    if (path === '/props') return json(state.properties);
    if (path !== '/v1/chat/completions' || request.method !== 'POST') return refuse.error(404, { message: 'no such path' });
    let source = '';
    for await (const chunk of request) source += chunk;
    const reply = new Reply(response, JSON.parse(source));
    state.requests.push(reply.body);
    state.replies.push(reply);
    try {
      await state.answer(reply, state.requests.length);
    } catch (error) {
      console.error('the answer of a test failed:', error);
      response.destroy();
    }
    return undefined;
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  state.url = `http://127.0.0.1:${server.address().port}/`;
  state.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return state;
}

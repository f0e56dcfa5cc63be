// The server's side of the page: the OpenAI-compatible interface of the origin the page came from.

import { EventParser } from './sse';
import type { Message, Settings, ToolCall, Usage } from './types';

export interface ModelInfo {
  id: string;
  maxLength?: number; // tokens of a prompt and its answer together
}

export class ApiError extends Error {
  constructor(
    readonly status: number, // of HTTP; 0 when the error came inside a stream
    message: string,
    readonly retryAfter?: number, // seconds
  ) {
    super(message);
  }
}

// What an answer is so far. The same object is filled further while it streams.
export interface Answer {
  content: string;
  reasoning: string;
  toolCalls: ToolCall[];
  finish?: string;
  usage?: Usage;
  model?: string;
}

type Json = Record<string, unknown>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
}

function headers(key: string): Record<string, string> {
  return key ? { authorization: 'Bearer ' + key } : {};
}

function errorText(body: unknown): string {
  if (isObject(body)) {
    if (isObject(body.error)) return text(body.error.message);
    return text(body.error) || text(body.message) || text(body.detail);
  }
  return '';
}

async function check(response: Response): Promise<Response> {
  if (response.ok) return response;
  let message = '';
  try {
    message = errorText(JSON.parse((await response.text()).slice(0, 100_000)));
  } catch {
    // not JSON: the status has to be enough
  }
  const after = Number.parseFloat(response.headers.get('retry-after') ?? '');
  throw new ApiError(
    response.status,
    message || `HTTP ${response.status} ${response.statusText}`.trim(),
    Number.isFinite(after) ? after : undefined,
  );
}

// Addresses are relative: the page also works behind a proxy that serves it under a path.
export async function fetchModels(key: string, signal?: AbortSignal): Promise<ModelInfo[]> {
  const response = await check(await fetch('v1/models', { headers: headers(key), signal: signal ?? null }));
  const body: unknown = await response.json();
  const list = isObject(body) && Array.isArray(body.data) ? body.data : [];
  return list.filter(isObject).map((model) => {
    const maxLength = count(model.max_model_len);
    return maxLength === undefined ? { id: text(model.id) } : { id: text(model.id), maxLength };
  });
}

export interface ServerProperties {
  sampling: Json; // its defaults, shown in the settings where the user has chosen nothing
  systemMessage: string; // what it puts in front of a conversation that has none
  systemRecommended: boolean; // the model's publisher advises to set one
}

export async function fetchProperties(key: string): Promise<ServerProperties> {
  const response = await check(await fetch('props', { headers: headers(key) }));
  const body: unknown = await response.json();
  if (!isObject(body)) throw new ApiError(0, 'props is not an object');
  const settings = isObject(body.default_generation_settings) ? body.default_generation_settings : {};
  return {
    sampling: isObject(settings.params) ? settings.params : settings,
    systemMessage: text(body.default_system_message),
    systemRecommended: body.system_recommended === true,
  };
}

export function buildRequest(system: string, path: Message[], settings: Settings, model: string): Json {
  const messages: Json[] = [];
  if (system.trim() !== '') messages.push({ role: 'system', content: system });
  for (const message of path) {
    if (message.role === 'tool') {
      messages.push({ role: 'tool', tool_call_id: message.toolCallId ?? '', content: message.content });
    } else if (message.role === 'assistant') {
      const calls = message.toolCalls ?? [];
      if (message.content === '' && calls.length === 0) continue; // an error, or stopped before it began
      const entry: Json = { role: 'assistant', content: message.content };
      if (calls.length > 0) {
        entry.tool_calls = calls.map((call) => ({
          id: call.id,
          type: 'function',
          function: { name: call.name, arguments: call.arguments },
        }));
        if (message.content === '') entry.content = null;
      }
      messages.push(entry);
    } else {
      messages.push({ role: 'user', content: message.content });
    }
  }
  const body: Json = {
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
  };
  const numbers = ['temperature', 'top_p', 'top_k', 'min_p', 'max_tokens', 'seed', 'repetition_penalty'] as const;
  for (const name of numbers) if (settings[name] !== null) body[name] = settings[name];
  if (settings.stop.length > 0) body.stop = settings.stop;
  if (settings.hant) body.script = 'hant';
  const tools = parseTools(settings.tools);
  if (tools.length > 0) body.tools = tools;
  if (settings.format === 'json_object') body.response_format = { type: 'json_object' };
  if (settings.format === 'json_schema' && settings.schema.trim() !== '') {
    body.response_format = {
      type: 'json_schema',
      json_schema: { name: 'answer', strict: true, schema: JSON.parse(settings.schema) as unknown },
    };
  }
  return body;
}

// A list of tools as the interface wants them; bare function definitions are wrapped. Throws on anything else.
export function parseTools(source: string): Json[] {
  if (source.trim() === '') return [];
  const value: unknown = JSON.parse(source);
  const list = Array.isArray(value) ? value : [value];
  return list.map((tool) => {
    if (!isObject(tool)) throw new Error('a tool is not an object');
    const wrapped = isObject(tool.function) ? tool : { type: 'function', function: tool };
    if (!isObject(wrapped.function) || text(wrapped.function.name) === '') throw new Error('a tool has no name');
    return wrapped;
  });
}

function readUsage(value: unknown): Usage | undefined {
  if (!isObject(value)) return undefined;
  const prompt = count(value.prompt_tokens);
  const completion = count(value.completion_tokens);
  if (prompt === undefined || completion === undefined) return undefined;
  const details = value.prompt_tokens_details;
  const cached = isObject(details) ? count(details.cached_tokens) : undefined;
  return cached === undefined ? { prompt, completion } : { prompt, completion, cached };
}

const MOST_TOOL_CALLS = 256;

// Adds one chunk of a stream to an answer.
export function addChunk(answer: Answer, chunk: unknown): void {
  if (!isObject(chunk)) return;
  if (chunk.error !== undefined) throw new ApiError(0, errorText(chunk) || 'error');
  const usage = readUsage(chunk.usage);
  if (usage) answer.usage = usage;
  if (text(chunk.model)) answer.model = text(chunk.model);
  const choice: unknown = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
  if (!isObject(choice)) return;
  if (text(choice.finish_reason)) answer.finish = text(choice.finish_reason);
  const delta = choice.delta;
  if (!isObject(delta)) return;
  answer.content += text(delta.content);
  answer.reasoning += text(delta.reasoning_content) || text(delta.reasoning);
  if (!Array.isArray(delta.tool_calls)) return;
  for (const part of delta.tool_calls) {
    if (!isObject(part)) continue;
    const index = count(part.index) ?? answer.toolCalls.length;
    if (index >= MOST_TOOL_CALLS || !Number.isInteger(index)) continue;
    while (answer.toolCalls.length <= index) answer.toolCalls.push({ id: '', name: '', arguments: '' });
    const call = answer.toolCalls[index]!;
    if (text(part.id)) call.id = text(part.id);
    if (isObject(part.function)) {
      call.name += text(part.function.name);
      call.arguments += text(part.function.arguments);
    }
  }
}

// Streams an answer; `changed` is called after each event that added to it. Resolves to false when the connection
// ended before the server said that the answer was whole.
export async function streamAnswer(
  body: Json,
  key: string,
  signal: AbortSignal,
  answer: Answer,
  changed: () => void,
): Promise<boolean> {
  const response = await check(
    await fetch('v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers(key) },
      body: JSON.stringify(body),
      signal,
    }),
  );
  if (!response.body) return false;
  const parser = new EventParser();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return answer.finish !== undefined;
    for (const data of parser.push(value)) {
      if (data === '[DONE]') {
        reader.cancel().catch(() => undefined);
        return true;
      }
      let chunk: unknown;
      try {
        chunk = JSON.parse(data);
      } catch {
        throw new ApiError(0, 'malformed event: ' + data.slice(0, 100));
      }
      addChunk(answer, chunk);
      changed();
    }
  }
}

// Export and import of conversations. An imported file is outside data: every field is checked and copied, and what
// is unknown is left behind.

import type { Conversation, Message, ToolCall } from './types';
import { newId } from './types';

export const FORMAT = 'twllm-conversations';
const VERSION = 1;
const MOST_CONVERSATIONS = 10_000;
const MOST_MESSAGES = 500_000;

export interface Archive {
  format: typeof FORMAT;
  version: number;
  exported: string;
  conversations: (Conversation & { messages: Message[] })[];
}

export function exportArchive(conversations: Conversation[], messages: Message[]): Archive {
  const byConversation = new Map<string, Message[]>();
  for (const message of messages) {
    const list = byConversation.get(message.conversation);
    if (list) list.push(message);
    else byConversation.set(message.conversation, [message]);
  }
  return {
    format: FORMAT,
    version: VERSION,
    exported: new Date().toISOString(),
    conversations: conversations.map((conversation) => ({
      ...conversation,
      messages: (byConversation.get(conversation.id) ?? []).sort((a, b) => a.order - b.order),
    })),
  };
}

type Json = Record<string, unknown>;
class Refused extends Error {}

function object(value: unknown, where: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Refused(`${where}: not an object`);
  return value as Json;
}
function list(value: unknown, where: string, most: number): unknown[] {
  if (!Array.isArray(value)) throw new Refused(`${where}: not a list`);
  if (value.length > most) throw new Refused(`${where}: ${value.length} entries, at most ${most}`);
  return value as unknown[];
}
function string(value: unknown, where: string): string {
  if (typeof value !== 'string') throw new Refused(`${where}: not a string`);
  return value;
}
function optionalString(value: unknown, where: string): string | undefined {
  return value === undefined || value === null ? undefined : string(value, where);
}
function number(value: unknown, where: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Refused(`${where}: not a number`);
  return value;
}
function optionalNumber(value: unknown, where: string): number | undefined {
  return value === undefined || value === null ? undefined : number(value, where);
}
// Leaves out what is undefined, so that a copy equals its original.
function known<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;
}

function readCall(value: unknown, where: string): ToolCall {
  const call = object(value, where);
  return {
    id: string(call.id, `${where}.id`),
    name: string(call.name, `${where}.name`),
    arguments: string(call.arguments, `${where}.arguments`),
  };
}

function readMessage(value: unknown, conversation: string, where: string): Message {
  const message = object(value, where);
  const role = string(message.role, `${where}.role`);
  if (role !== 'user' && role !== 'assistant' && role !== 'tool') throw new Refused(`${where}.role: ${role}`);
  const usage = message.usage === undefined ? undefined : object(message.usage, `${where}.usage`);
  const timing = message.timing === undefined ? undefined : object(message.timing, `${where}.timing`);
  return known({
    id: string(message.id, `${where}.id`),
    conversation,
    parent: optionalString(message.parent, `${where}.parent`) ?? null,
    order: number(message.order, `${where}.order`),
    role,
    content: string(message.content, `${where}.content`),
    created: number(message.created, `${where}.created`),
    reasoning: optionalString(message.reasoning, `${where}.reasoning`),
    toolCalls:
      message.toolCalls === undefined
        ? undefined
        : list(message.toolCalls, `${where}.toolCalls`, 256).map((call, i) => readCall(call, `${where}.toolCalls[${i}]`)),
    toolCallId: optionalString(message.toolCallId, `${where}.toolCallId`),
    model: optionalString(message.model, `${where}.model`),
    finish: optionalString(message.finish, `${where}.finish`),
    error: optionalString(message.error, `${where}.error`),
    usage: usage && known({
      prompt: number(usage.prompt, `${where}.usage.prompt`),
      completion: number(usage.completion, `${where}.usage.completion`),
      cached: optionalNumber(usage.cached, `${where}.usage.cached`),
    }),
    timing: timing && known({
      first: optionalNumber(timing.first, `${where}.timing.first`),
      together: optionalNumber(timing.together, `${where}.timing.together`),
      total: number(timing.total, `${where}.timing.total`),
    }),
  }) as Message;
}

// Every message reaches the top of its conversation; otherwise it could never be shown, nor deleted.
function checkTree(messages: Message[], where: string): void {
  const parents = new Map(messages.map((message) => [message.id, message.parent]));
  if (parents.size !== messages.length) throw new Refused(`${where}: two messages of one id`);
  const rooted = new Set<string>();
  for (const message of messages) {
    const way: string[] = [];
    const seen = new Set<string>();
    for (let id: string | null = message.id; id !== null && !rooted.has(id); id = parents.get(id)!) {
      if (seen.has(id) || !parents.has(id)) throw new Refused(`${where}: message ${message.id} hangs in the air`);
      seen.add(id);
      way.push(id);
    }
    for (const id of way) rooted.add(id);
  }
}

export interface Imported {
  conversations: Conversation[];
  messages: Message[];
  skipped: number; // conversations that are here already, unchanged
}

// Reads an archive. A conversation that is here in another state comes in as a copy with new ids; nothing that is here
// is ever replaced. Throws an Error that says what is wrong and where.
export function readArchive(source: string, present: Conversation[]): Imported {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch {
    throw new Refused('not JSON');
  }
  const archive = object(value, 'file');
  if (archive.format !== FORMAT) throw new Refused(`format: not ${FORMAT}`);
  if (archive.version !== VERSION) throw new Refused(`version: not ${VERSION}`);
  const updatedAt = new Map(present.map((conversation) => [conversation.id, conversation.updated]));
  const result: Imported = { conversations: [], messages: [], skipped: 0 };
  const entries = list(archive.conversations, 'conversations', MOST_CONVERSATIONS);
  const taken = new Set<string>();
  entries.forEach((entry, i) => {
    const where = `conversations[${i}]`;
    const from = object(entry, where);
    const conversation: Conversation = {
      id: string(from.id, `${where}.id`),
      title: string(from.title, `${where}.title`),
      titled: from.titled === true,
      system: string(from.system, `${where}.system`),
      created: number(from.created, `${where}.created`),
      updated: number(from.updated, `${where}.updated`),
      leaf: optionalString(from.leaf, `${where}.leaf`) ?? null,
    };
    if (updatedAt.get(conversation.id) === conversation.updated) {
      result.skipped++;
      return;
    }
    // An id is also the address of its conversation; one that cannot be, or is taken, is made anew.
    const fits = /^[\w-]{1,64}$/.test(conversation.id);
    if (!fits || updatedAt.has(conversation.id) || taken.has(conversation.id)) conversation.id = newId();
    taken.add(conversation.id);
    const messages = list(from.messages, `${where}.messages`, MOST_MESSAGES).map((message, j) =>
      readMessage(message, conversation.id, `${where}.messages[${j}]`),
    );
    checkTree(messages, where);
    // Ids of messages are one name space in the database: all are made anew.
    const ids = new Map(messages.map((message) => [message.id, newId()]));
    for (const message of messages) {
      message.id = ids.get(message.id)!;
      message.parent = message.parent === null ? null : ids.get(message.parent)!;
    }
    conversation.leaf = conversation.leaf === null ? null : (ids.get(conversation.leaf) ?? null);
    result.conversations.push(conversation);
    result.messages.push(...messages);
    if (result.messages.length > MOST_MESSAGES) throw new Refused(`more than ${MOST_MESSAGES} messages`);
  });
  return result;
}

// What a conversation is, in memory, in the database and (under `format`) in an exported file.

export type Role = 'user' | 'assistant' | 'tool';

export interface ToolCall {
  id: string;
  name: string;
  arguments: string; // as the model wrote it: JSON when all went well
}

export interface Usage {
  prompt: number;
  completion: number;
  cached?: number;
}

export interface Timing {
  first?: number; // ms from sending to the first token
  together?: number; // tokens that arrived with it; the speed counts those behind
  total: number; // ms from sending to the last
}

// One node of the tree of a conversation. Children of one parent are versions of the same turn.
export interface Message {
  id: string;
  conversation: string;
  parent: string | null;
  order: number; // grows within a conversation; the order in which versions were made
  role: Role;
  content: string;
  created: number; // ms since 1970
  reasoning?: string;
  toolCalls?: ToolCall[];
  toolCallId?: string; // of a tool's result: the call it answers
  model?: string;
  finish?: string; // why the answer ended: stop, length, tool_calls, stopped (by the user), error, lost
  error?: string;
  usage?: Usage;
  timing?: Timing;
}

export interface Conversation {
  id: string;
  title: string;
  titled: boolean; // named by the user: no longer taken from the first message
  system: string;
  created: number;
  updated: number;
  leaf: string | null; // the last message of the version that is shown
}

export interface Settings {
  theme: 'system' | 'light' | 'dark';
  language: 'zh-TW' | 'en';
  model: string;
  system: string; // of new conversations
  temperature: number | null; // null: whatever the server does by default
  top_p: number | null;
  top_k: number | null;
  min_p: number | null;
  max_tokens: number | null;
  seed: number | null;
  repetition_penalty: number | null;
  stop: string[];
  hant: boolean;
  tools: string; // JSON list of function definitions, or empty
  format: 'text' | 'json_object' | 'json_schema';
  schema: string; // JSON Schema, for json_schema
}

export const ROOT = null;

export function newId(): string {
  // Not randomUUID: that one exists on https and localhost only.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

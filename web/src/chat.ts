// The state of the page and everything that changes it. The user interface reads `app` and is told when to look again.

import { ApiError, buildRequest, fetchModels, fetchProperties, streamAnswer } from './api';
import type { Answer, ModelInfo, ServerProperties } from './api';
import { setLanguage, t } from './i18n';
import { loadApiKey, loadSettings, saveApiKey, saveSettings } from './settings';
import { Store } from './store';
import { exportArchive, readArchive } from './transfer';
import { childrenOf, newestLeaf, nextOrder, pathTo, subtree } from './tree';
import type { Messages } from './tree';
import { newId } from './types';
import type { Conversation, Message, Settings } from './types';

export interface Stream {
  message: Message;
  abort: AbortController;
  started: number; // performance.now() of sending
  first?: number; // of the first token
  together: number; // tokens that came at that moment
  saved: number; // of the last write to the database
}

const SAME_MOMENT_MS = 5; // events closer than that were waiting for us together
const SAVE_EVERY_MS = 1000; // while streaming: what a closed tab may lose

class App {
  settings: Settings = loadSettings();
  apiKey = loadApiKey();
  models: ModelInfo[] = [];
  properties: ServerProperties = { sampling: {}, systemMessage: '', systemRecommended: false };
  connected: boolean | null = null; // null: not known yet
  needsKey: 'no' | 'asked' | 'wrong' = 'no';
  conversations: Conversation[] = []; // newest first
  current: Conversation | null = null; // null: a conversation that begins with its first message
  draftSystem = ''; // the system prompt of that one
  notice = ''; // one sentence for the user, until dismissed
  announcement = ''; // for screen readers
  readonly streams = new Map<string, Stream>(); // by conversation

  private store: Store | null = null;
  private open = new Map<string, Messages>();
  private listeners = new Set<() => void>();
  private scheduled = false;
  private channel: BroadcastChannel | null = null;
  private afterKey: (() => void) | null = null;

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  // At most once a frame; a hidden tab has no frames, but its titles and announcements still move.
  changed = (): void => {
    if (this.scheduled) return;
    this.scheduled = true;
    const run = () => {
      this.scheduled = false;
      for (const listener of this.listeners) listener();
    };
    if (document.hidden) setTimeout(run, 200);
    else requestAnimationFrame(run);
  };

  async start(): Promise<void> {
    setLanguage(this.settings.language);
    this.draftSystem = this.settings.system;
    void this.connect();
    try {
      this.store = await Store.open();
      await this.readList();
      this.channel = new BroadcastChannel('twllm');
      this.channel.onmessage = (event) => void this.otherTab(event.data);
    } catch (error) {
      this.notice = t('storageFailed', { why: String(error) });
    }
    await this.followAddress();
    window.addEventListener('hashchange', () => void this.followAddress());
    this.changed();
  }

  // -- the server

  async connect(): Promise<void> {
    try {
      this.models = await fetchModels(this.apiKey);
      this.connected = true;
      this.needsKey = 'no';
      this.properties = await fetchProperties(this.apiKey).catch(() => this.properties);
    } catch (error) {
      this.connected = error instanceof ApiError && error.status !== 0;
      if (error instanceof ApiError && error.status === 401) this.askForKey();
    }
    this.changed();
  }

  get model(): ModelInfo | undefined {
    return this.models.find((model) => model.id === this.settings.model) ?? this.models[0];
  }

  private askForKey(then?: () => void): void {
    this.needsKey = this.apiKey === '' ? 'asked' : 'wrong';
    if (then) this.afterKey = then;
    this.changed();
  }
  async giveKey(key: string, remember: boolean): Promise<void> {
    this.apiKey = key.trim();
    saveApiKey(this.apiKey, remember);
    await this.connect();
    if (this.needsKey === 'no') {
      const then = this.afterKey;
      this.afterKey = null;
      then?.();
    }
  }
  dismissKey(): void {
    this.needsKey = 'no';
    this.afterKey = null;
    this.changed();
  }

  change(settings: Partial<Settings>): void {
    const system = this.settings.system;
    this.settings = { ...this.settings, ...settings };
    if (this.draftSystem === system) this.draftSystem = this.settings.system;
    setLanguage(this.settings.language);
    saveSettings(this.settings);
    this.changed();
  }

  // -- conversations

  private async readList(): Promise<void> {
    if (!this.store) return;
    this.conversations = await this.store.conversations();
    this.sort();
  }
  private sort(): void {
    this.conversations.sort((a, b) => b.updated - a.updated || (a.id < b.id ? -1 : 1));
  }

  private async otherTab(about: unknown): Promise<void> {
    await this.readList();
    const id = typeof about === 'string' ? about : '';
    if (!this.streams.has(id)) this.open.delete(id);
    if (this.current) {
      const current = this.conversations.find((conversation) => conversation.id === this.current!.id) ?? null;
      if (current && this.streams.has(current.id)) current.leaf = this.current.leaf;
      this.current = current;
      if (current) await this.load(current.id);
      else location.hash = '';
    }
    this.changed();
  }

  private async followAddress(): Promise<void> {
    const id = /^#\/c\/([\w-]+)$/.exec(location.hash)?.[1];
    const conversation = this.conversations.find((entry) => entry.id === id) ?? null;
    if (conversation) await this.load(conversation.id);
    this.current = conversation;
    if (!conversation && location.hash !== '') history.replaceState(null, '', location.pathname + location.search);
    this.changed();
  }
  show(id: string | null): void {
    if (id === null) {
      this.draftSystem = this.settings.system;
      this.current = null;
      if (location.hash !== '') history.pushState(null, '', location.pathname + location.search);
      this.changed();
    } else {
      location.hash = '#/c/' + id;
    }
  }

  private async load(id: string): Promise<Messages> {
    let messages = this.open.get(id);
    if (!messages) {
      messages = new Map();
      for (const message of this.store ? await this.store.messages(id) : []) messages.set(message.id, message);
      this.open.set(id, messages);
    }
    return messages;
  }

  get messages(): Messages {
    return (this.current && this.open.get(this.current.id)) ?? new Map();
  }
  get path(): Message[] {
    return this.current ? pathTo(this.messages, this.current.leaf) : [];
  }
  siblings(message: Message): Message[] {
    return childrenOf(this.messages, message.parent);
  }
  get stream(): Stream | undefined {
    return this.current ? this.streams.get(this.current.id) : undefined;
  }

  private async put(conversation: Conversation, messages: Message[] = []): Promise<void> {
    try {
      await this.store?.put([conversation], messages);
      this.channel?.postMessage(conversation.id);
    } catch (error) {
      this.notice = t('storageFailed', { why: String(error) });
      this.changed();
    }
  }
  private touch(conversation: Conversation): void {
    conversation.updated = Math.max(Date.now(), conversation.updated + 1);
    this.sort();
  }

  private begin(): Conversation {
    const now = Date.now();
    const conversation: Conversation = {
      id: newId(),
      title: '',
      titled: false,
      system: this.draftSystem,
      created: now,
      updated: now,
      leaf: null,
    };
    this.conversations.unshift(conversation);
    this.open.set(conversation.id, new Map());
    this.current = conversation;
    history.pushState(null, '', '#/c/' + conversation.id);
    return conversation;
  }

  async rename(id: string, title: string): Promise<void> {
    const conversation = this.conversations.find((entry) => entry.id === id);
    if (!conversation || title.trim() === '') return;
    conversation.title = title.trim();
    conversation.titled = true;
    this.changed();
    await this.put(conversation);
  }

  setSystem(text: string): void {
    if (this.current) {
      this.current.system = text;
      void this.put(this.current);
    } else {
      this.draftSystem = text;
    }
    this.changed();
  }

  async remove(id: string): Promise<void> {
    this.streams.get(id)?.abort.abort();
    this.streams.delete(id);
    this.open.delete(id);
    this.conversations = this.conversations.filter((entry) => entry.id !== id);
    if (this.current?.id === id) this.show(null);
    await this.store?.deleteConversation(id);
    this.channel?.postMessage(id);
    this.changed();
  }
  async removeAll(): Promise<void> {
    for (const stream of this.streams.values()) stream.abort.abort();
    this.streams.clear();
    this.open.clear();
    this.conversations = [];
    this.show(null);
    await this.store?.clear();
    this.channel?.postMessage('');
    this.changed();
  }

  async search(words: string): Promise<Map<string, string>> {
    const hits = (await this.store?.search(words, 200)) ?? new Map<string, string>();
    const wanted = words.toLowerCase();
    for (const { id, title } of this.conversations)
      if (title.toLowerCase().includes(wanted) && !hits.has(id)) hits.set(id, '');
    return hits;
  }

  // -- messages

  private add(conversation: Conversation, parent: string | null, fields: Partial<Message> & Pick<Message, 'role'>): Message {
    const messages = this.open.get(conversation.id)!;
    const message: Message = {
      id: newId(),
      conversation: conversation.id,
      parent,
      order: nextOrder(messages),
      content: '',
      created: Date.now(),
      ...fields,
    };
    messages.set(message.id, message);
    conversation.leaf = message.id;
    this.touch(conversation);
    return message;
  }

  async send(text: string): Promise<void> {
    if (text.trim() === '' || this.stream) return;
    const conversation = this.current ?? this.begin();
    const message = this.add(conversation, conversation.leaf, { role: 'user', content: text });
    this.title(conversation);
    await this.put(conversation, [message]);
    await this.answer(conversation, message.id);
  }

  private title(conversation: Conversation): void {
    if (conversation.titled) return;
    const first = pathTo(this.open.get(conversation.id)!, conversation.leaf)[0];
    const line = first?.content.trim().split('\n')[0] ?? '';
    const characters = [...line];
    conversation.title = characters.length > 40 ? characters.slice(0, 40).join('') + '…' : line;
  }

  // A new version of a user's message is answered; one of the model's stands as it was written.
  async edit(message: Message, text: string): Promise<void> {
    const conversation = this.current;
    if (!conversation || this.stream || text.trim() === '') return;
    const fields: Partial<Message> & Pick<Message, 'role'> = { role: message.role, content: text };
    if (message.toolCallId !== undefined) fields.toolCallId = message.toolCallId;
    if (message.model !== undefined) fields.model = message.model;
    const version = this.add(conversation, message.parent, fields);
    this.title(conversation);
    await this.put(conversation, [version]);
    this.changed();
    if (message.role !== 'assistant') await this.answer(conversation, version.id);
  }

  async regenerate(message: Message): Promise<void> {
    const conversation = this.current;
    if (!conversation || this.stream) return;
    // An answer that never began is no version worth keeping.
    if (message.content === '' && !message.toolCalls?.length && message.error !== undefined) {
      const gone = subtree(this.messages, message.id);
      for (const id of gone) this.messages.delete(id);
      await this.store?.deleteMessages(gone);
    }
    await this.answer(conversation, message.parent);
  }

  showVersion(message: Message): void {
    const conversation = this.current;
    if (!conversation || this.stream) return;
    conversation.leaf = newestLeaf(this.messages, message.id);
    this.changed();
    void this.put(conversation);
  }

  async sendToolResults(message: Message, results: string[]): Promise<void> {
    const conversation = this.current;
    const calls = message.toolCalls ?? [];
    if (!conversation || this.stream || calls.length !== results.length) return;
    const added: Message[] = [];
    let parent = message.id;
    calls.forEach((call, i) => {
      const result = this.add(conversation, parent, { role: 'tool', content: results[i]!, toolCallId: call.id });
      added.push(result);
      parent = result.id;
    });
    await this.put(conversation, added);
    await this.answer(conversation, parent);
  }

  stop(): void {
    this.stream?.abort.abort();
  }

  private async answer(conversation: Conversation, parent: string | null): Promise<void> {
    const messages = this.open.get(conversation.id)!;
    const path = pathTo(messages, parent);
    const model = this.model?.id ?? this.settings.model;
    // `lost` is what remains in the database if this tab goes away before the end.
    const message = this.add(conversation, parent, { role: 'assistant', finish: 'lost' });
    const stream: Stream = { message, abort: new AbortController(), started: performance.now(), together: 1, saved: performance.now() };
    this.streams.set(conversation.id, stream);
    this.announcement = t('generating');
    this.changed();
    const answer: Answer = { content: '', reasoning: '', toolCalls: [] };
    const copy = () => {
      message.content = answer.content;
      if (answer.reasoning !== '') message.reasoning = answer.reasoning;
      if (answer.toolCalls.length > 0) message.toolCalls = answer.toolCalls.map((call) => ({ ...call }));
      if (answer.usage) message.usage = answer.usage;
      if (answer.model !== undefined) message.model = answer.model;
      message.timing = { total: performance.now() - stream.started };
      if (stream.first !== undefined) {
        message.timing.first = stream.first - stream.started;
        message.timing.together = stream.together;
      }
    };
    try {
      const body = buildRequest(conversation.system, path, this.settings, model);
      const whole = await streamAnswer(body, this.apiKey, stream.abort.signal, answer, () => {
        const begun = answer.content !== '' || answer.reasoning !== '' || answer.toolCalls.length > 0;
        if (begun) stream.first ??= performance.now();
        if (stream.first !== undefined && performance.now() - stream.first < SAME_MOMENT_MS)
          stream.together = answer.usage?.completion ?? 1;
        copy();
        if (performance.now() - stream.saved > SAVE_EVERY_MS) {
          stream.saved = performance.now();
          void this.put(conversation, [message]);
        }
        this.changed();
      });
      message.finish = whole ? (answer.finish ?? 'stop') : 'lost';
    } catch (error) {
      this.failed(stream, error, conversation);
    }
    copy();
    this.streams.delete(conversation.id);
    if (!this.conversations.includes(conversation)) return; // deleted meanwhile
    this.announcement = t('answerDone');
    this.touch(conversation);
    this.changed();
    await this.put(conversation, [message]);
  }

  private failed(stream: Stream, error: unknown, conversation: Conversation): void {
    const { message } = stream;
    if (stream.abort.signal.aborted) {
      message.finish = 'stopped';
    } else if (error instanceof ApiError) {
      message.finish = 'error';
      message.error =
        error.status === 429 && error.retryAfter !== undefined
          ? t('errorBusy', { n: error.retryAfter })
          : error.message;
      if (error.status === 401) {
        this.askForKey(() => {
          if (this.current === conversation && conversation.leaf === message.id) void this.regenerate(message);
        });
      }
    } else if (stream.first !== undefined) {
      message.finish = 'lost';
    } else {
      message.finish = 'error';
      message.error = error instanceof TypeError ? t('errorNetwork') : String(error);
    }
  }

  // -- export and import

  async export(id?: string): Promise<string> {
    const all = this.conversations.filter((conversation) => id === undefined || conversation.id === id);
    const messages = (await this.store?.allMessages()) ?? [];
    return JSON.stringify(exportArchive(all, messages), null, 1) + '\n';
  }

  async import(source: string): Promise<void> {
    try {
      const { conversations, messages, skipped } = readArchive(source, this.conversations);
      await this.store?.put(conversations, messages);
      await this.readList();
      this.channel?.postMessage('');
      this.notice = t('imported', { n: conversations.length, skipped });
    } catch (error) {
      this.notice = t('importFailed', { why: error instanceof Error ? error.message : String(error) });
    }
    this.changed();
  }
}

export const app = new App();

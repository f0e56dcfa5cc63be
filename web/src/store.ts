// The history, in this browser only: IndexedDB with one record for a conversation and one for a message.

import type { Conversation, Message } from './types';

const NAME = 'twllm';
const VERSION = 1;

function wait<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
function finished(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

export class Store {
  private constructor(private db: IDBDatabase) {}

  static async open(): Promise<Store> {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('conversations', { keyPath: 'id' });
      const messages = request.result.createObjectStore('messages', { keyPath: 'id' });
      messages.createIndex('conversation', 'conversation');
    };
    const db = await wait(request);
    db.onversionchange = () => db.close(); // a newer page in another tab wants to upgrade
    return new Store(db);
  }

  conversations(): Promise<Conversation[]> {
    return wait(this.db.transaction('conversations').objectStore('conversations').getAll());
  }

  messages(conversation: string): Promise<Message[]> {
    const index = this.db.transaction('messages').objectStore('messages').index('conversation');
    return wait(index.getAll(conversation));
  }

  allMessages(): Promise<Message[]> {
    return wait(this.db.transaction('messages').objectStore('messages').getAll());
  }

  // All of it or nothing.
  async put(conversations: Conversation[], messages: Message[]): Promise<void> {
    const transaction = this.db.transaction(['conversations', 'messages'], 'readwrite');
    for (const conversation of conversations) transaction.objectStore('conversations').put(conversation);
    for (const message of messages) transaction.objectStore('messages').put(message);
    await finished(transaction);
  }

  async deleteMessages(ids: string[]): Promise<void> {
    const transaction = this.db.transaction('messages', 'readwrite');
    for (const id of ids) transaction.objectStore('messages').delete(id);
    await finished(transaction);
  }

  async deleteConversation(id: string): Promise<void> {
    const transaction = this.db.transaction(['conversations', 'messages'], 'readwrite');
    transaction.objectStore('conversations').delete(id);
    const messages = transaction.objectStore('messages');
    for (const key of await wait(messages.index('conversation').getAllKeys(id))) messages.delete(key);
    await finished(transaction);
  }

  async clear(): Promise<void> {
    const transaction = this.db.transaction(['conversations', 'messages'], 'readwrite');
    transaction.objectStore('conversations').clear();
    transaction.objectStore('messages').clear();
    await finished(transaction);
  }

  // Conversations one of whose messages has the words, each with a piece of that message; title hits are the caller's.
  async search(words: string, most: number): Promise<Map<string, string>> {
    const wanted = words.toLowerCase();
    const hits = new Map<string, string>();
    const request = this.db.transaction('messages').objectStore('messages').openCursor();
    await new Promise<void>((resolve, reject) => {
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor || hits.size >= most) return resolve();
        const message = cursor.value as Message;
        if (!hits.has(message.conversation)) {
          const at = message.content.toLowerCase().indexOf(wanted);
          if (at >= 0) {
            const from = Math.max(0, at - 12);
            const piece = message.content.slice(from, at + wanted.length + 40).replace(/\s+/g, ' ');
            hits.set(message.conversation, (from > 0 ? '…' : '') + piece);
          }
        }
        cursor.continue();
      };
    });
    return hits;
  }
}

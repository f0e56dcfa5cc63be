// A conversation is a tree: an edit or a new answer is a sibling, and what is shown is one path through it.

import type { Message } from './types';

export type Messages = Map<string, Message>;

export function byOrder(a: Message, b: Message): number {
  return a.order - b.order || (a.id < b.id ? -1 : 1);
}

export function childrenOf(messages: Messages, parent: string | null): Message[] {
  const found: Message[] = [];
  for (const message of messages.values()) if (message.parent === parent) found.push(message);
  return found.sort(byOrder);
}

// From the first message to `leaf`. A parent that is missing, or a ring, ends the path.
export function pathTo(messages: Messages, leaf: string | null): Message[] {
  const path: Message[] = [];
  const seen = new Set<string>();
  for (let id = leaf; id !== null && !seen.has(id); ) {
    const message = messages.get(id);
    if (!message) break;
    seen.add(id);
    path.push(message);
    id = message.parent;
  }
  return path.reverse();
}

// The end of the newest version below a message.
export function newestLeaf(messages: Messages, from: string): string {
  let id = from;
  for (let steps = messages.size; steps > 0; steps--) {
    const children = childrenOf(messages, id);
    const last = children[children.length - 1];
    if (!last) break;
    id = last.id;
  }
  return id;
}

export function nextOrder(messages: Messages): number {
  let most = 0;
  for (const message of messages.values()) most = Math.max(most, message.order);
  return most + 1;
}

// A message and all below it.
export function subtree(messages: Messages, from: string): string[] {
  const found = [from];
  for (let i = 0; i < found.length; i++)
    for (const child of childrenOf(messages, found[i]!)) if (!found.includes(child.id)) found.push(child.id);
  return found;
}

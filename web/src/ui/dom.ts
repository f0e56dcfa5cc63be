// Small things that several parts of the page need of the browser.

// Enter that belongs to an input method: it picks a word, and must not send. 229 is what some browsers report after
// the composition was closed by that very key.
export function isComposing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === 229;
}

export function hasTouch(): boolean {
  return matchMedia('(pointer: coarse)').matches;
}

export function grow(area: HTMLTextAreaElement): void {
  area.style.height = 'auto';
  area.style.height = area.scrollHeight + 2 + 'px';
}

export function saveFile(name: string, content: string, type: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function fileName(title: string): string {
  const safe = title.replace(/[\\/:*?"<>|\u0000-\u001f]+/g, ' ').trim().slice(0, 60);
  return (safe || 'twllm') + '.json';
}

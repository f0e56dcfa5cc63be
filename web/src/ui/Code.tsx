import { render } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { copyText } from '../clipboard';
import { t } from '../i18n';
import { codeFragment, MarkdownView } from '../markdown';
import { Icon } from './icons';

export function CopyButton({ text, label }: { text: () => string; label: boolean }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  const name = t(copied ? 'copied' : 'copy');
  return (
    <button
      type="button"
      class={label ? 'code-copy' : 'icon-button'}
      aria-label={name}
      title={name}
      onClick={() => void copyText(text()).then(setCopied)}
    >
      <Icon name={copied ? 'check' : 'copy'} />
      {label && name}
    </button>
  );
}

function decorate(pre: HTMLElement, language: string): void {
  const frame = document.createElement('div');
  frame.className = 'code-frame';
  const head = document.createElement('div');
  head.className = 'code-head';
  pre.replaceWith(frame);
  pre.tabIndex = 0; // wide code can be scrolled by keyboard
  frame.append(head, pre);
  render(
    <>
      <span>{language}</span>
      <CopyButton text={() => pre.textContent ?? ''} label={true} />
    </>,
    head,
  );
}

export function Markdown({ text, growing }: { text: string; growing: boolean }) {
  const root = useRef<HTMLDivElement>(null);
  const view = useRef<MarkdownView | null>(null);
  const cost = useRef({ ms: 0, at: 0 });
  useLayoutEffect(() => {
    view.current ??= new MarkdownView(root.current!, decorate);
    const now = performance.now();
    const show = () => {
      const from = performance.now();
      view.current!.update(text);
      cost.current = { ms: performance.now() - from, at: performance.now() };
    };
    // A very long answer is laid out less often, so that the page never spends more than a fifth of its time on it.
    const wait = !growing || cost.current.ms < 8 ? 0 : cost.current.at + 5 * cost.current.ms - now;
    if (wait <= 0) {
      show();
      return undefined;
    }
    const timer = setTimeout(show, wait);
    return () => clearTimeout(timer);
  }, [text, growing]);
  return <div class="markdown" ref={root} />;
}

export function Code({ source, language }: { source: string; language: string }) {
  const code = useRef<HTMLElement>(null);
  useLayoutEffect(() => code.current!.replaceChildren(codeFragment(source, language)), [source, language]);
  return (
    <div class="code-frame">
      <div class="code-head">
        <span>{language}</span>
        <CopyButton text={() => source} label={true} />
      </div>
      <pre tabIndex={0}>
        <code ref={code} class={'language-' + language} />
      </pre>
    </div>
  );
}

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { app } from '../chat';
import { t } from '../i18n';
import { looksLikeJson, prettyJson } from '../json';
import type { Message, ToolCall } from '../types';
import { Code, CopyButton, Markdown } from './Code';
import { grow, hasTouch, isComposing } from './dom';
import { IconButton } from './icons';

function Versions({ message }: { message: Message }) {
  const versions = app.siblings(message);
  if (versions.length < 2) return null;
  const at = versions.indexOf(message);
  const busy = app.stream !== undefined;
  const go = (index: number) => app.showVersion(versions[index]!);
  return (
    <span class="versions" role="group" aria-label={t('version', { at: at + 1, of: versions.length })}>
      <IconButton icon="left" label={t('previousVersion')} disabled={busy || at === 0} onClick={() => go(at - 1)} />
      <span class="version-count">
        {at + 1}/{versions.length}
      </span>
      <IconButton
        icon="right"
        label={t('nextVersion')}
        disabled={busy || at === versions.length - 1}
        onClick={() => go(at + 1)}
      />
    </span>
  );
}

function Editor(props: { message: Message; onDone: () => void }) {
  const { message } = props;
  const field = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState(message.content);
  useEffect(() => {
    field.current!.focus();
    field.current!.setSelectionRange(text.length, text.length);
  }, []);
  useLayoutEffect(() => grow(field.current!), [text]);
  const save = () => {
    props.onDone();
    if (text !== message.content || message.role === 'user') void app.edit(message, text);
  };
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <textarea
        ref={field}
        value={text}
        aria-label={t('edit')}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (isComposing(event)) return;
          if (event.key === 'Escape') {
            event.stopPropagation();
            props.onDone();
          }
          if (event.key === 'Enter' && !event.shiftKey && !hasTouch() && message.role === 'user') {
            event.preventDefault();
            save();
          }
        }}
      />
      <div class="buttons">
        <button type="button" class="button" onClick={props.onDone}>
          {t('cancel')}
        </button>
        <button type="submit" class="button primary" disabled={text.trim() === '' || app.stream !== undefined}>
          {t(message.role === 'user' ? 'saveAndSend' : 'saveVersion')}
        </button>
      </div>
    </form>
  );
}

function JsonAnswer({ text }: { text: string }) {
  const [raw, setRaw] = useState(false);
  const pretty = prettyJson(text);
  return (
    <div class="json-answer">
      {pretty !== null && (
        <div class="tabs" role="group">
          <button type="button" aria-pressed={!raw} onClick={() => setRaw(false)}>
            {t('formatted')}
          </button>
          <button type="button" aria-pressed={raw} onClick={() => setRaw(true)}>
            {t('raw')}
          </button>
        </div>
      )}
      <Code source={raw || pretty === null ? text : pretty} language="json" />
    </div>
  );
}

function Call({ call }: { call: ToolCall }) {
  const pretty = prettyJson(call.arguments);
  return (
    <details class="tool-call" open>
      <summary>
        {t('toolCall', { name: '' })}
        <code>{call.name}</code>
      </summary>
      <Code source={pretty ?? call.arguments} language={pretty === null ? '' : 'json'} />
    </details>
  );
}

// There is nobody here to run a tool but the user: the results are typed, or pasted, and sent.
function ToolResults({ message }: { message: Message }) {
  const calls = message.toolCalls ?? [];
  const [results, setResults] = useState(calls.map(() => ''));
  return (
    <form
      class="tool-results"
      onSubmit={(event) => {
        event.preventDefault();
        void app.sendToolResults(message, results);
      }}
    >
      {calls.map((call, i) => (
        <label key={call.id}>
          <span>
            {t('toolResult')} <code>{call.name}</code>
          </span>
          <textarea
            rows={2}
            value={results[i] ?? ''}
            placeholder={t('toolResultHint')}
            onInput={(event) => {
              const value = event.currentTarget.value;
              setResults((before) => calls.map((_, k) => (k === i ? value : (before[k] ?? ''))));
            }}
          />
        </label>
      ))}
      <div class="buttons">
        <button type="submit" class="button primary" disabled={app.stream !== undefined}>
          {t('sendResults')}
        </button>
      </div>
    </form>
  );
}

function number(value: number, digits: number): string {
  return value.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function Statistics({ message }: { message: Message }) {
  const { usage, timing } = message;
  const parts: string[] = [];
  if (usage) parts.push(t('tokens', { n: number(usage.completion, 0) }));
  const counted = usage ? usage.completion - (timing?.together ?? 1) : 0;
  if (counted > 0 && timing?.first !== undefined && timing.total > timing.first)
    parts.push(t('speed', { n: number((counted * 1000) / (timing.total - timing.first), 1) }));
  if (timing?.first !== undefined) parts.push(t('firstToken', { n: number(timing.first / 1000, 2) }));
  return parts.length > 0 ? <span class="statistics">{parts.join(' · ')}</span> : null;
}

function Ending({ message, last }: { message: Message; last: boolean }) {
  const { finish, error } = message;
  const text =
    finish === 'length' ? t('finishLength')
    : finish === 'stopped' ? t('finishStopped')
    : finish === 'lost' ? t('finishLost')
    : finish === 'content_filter' ? t('finishFilter')
    : '';
  return (
    <>
      {text !== '' && <p class="ending">{text}</p>}
      {error !== undefined && (
        <div class="error" role="alert">
          <strong>{t('errorTitle')}</strong>
          <p>{error}</p>
          {last && (
            <button type="button" class="button" onClick={() => void app.regenerate(message)}>
              {t('retry')}
            </button>
          )}
        </div>
      )}
    </>
  );
}

function Content({ message }: { message: Message }) {
  const { role, content } = message;
  const growing = app.stream?.message === message;
  if (role === 'user') return <div class="plain">{content}</div>;
  if (role === 'tool') return <Code source={prettyJson(content) ?? content} language={prettyJson(content) ? 'json' : ''} />;
  return (
    <>
      {message.reasoning !== undefined && (
        <details class="reasoning">
          <summary>{t('reasoning')}</summary>
          <Markdown text={message.reasoning} growing={growing} />
        </details>
      )}
      {looksLikeJson(content) ? <JsonAnswer text={content} /> : content !== '' && <Markdown text={content} growing={growing} />}
      {message.toolCalls?.map((call, i) => <Call key={i} call={call} />)}
    </>
  );
}

function Entry(props: { message: Message; last: boolean; editing: boolean; onEdit: (id: string | null) => void }) {
  const { message, last } = props;
  const streaming = app.stream?.message === message;
  const busy = app.stream !== undefined;
  const name = message.role === 'user' ? t('you') : message.role === 'tool' ? t('tool') : message.model || t('assistant');
  const empty = message.content === '' && !message.toolCalls?.length && message.reasoning === undefined;
  return (
    <article class={'message ' + message.role} aria-busy={streaming}>
      <h2 class={message.role === 'user' ? 'off-screen' : 'who'}>{name}</h2>
      {props.editing ? (
        <Editor message={message} onDone={() => props.onEdit(null)} />
      ) : (
        <div class="content">
          <Content message={message} />
          {streaming && empty && <span class="waiting" role="status" aria-label={t('generating')} />}
        </div>
      )}
      {!streaming && <Ending message={message} last={last} />}
      {!props.editing && (
        <footer class="actions">
          <Versions message={message} />
          {!streaming && message.content !== '' && <CopyButton text={() => message.content} label={false} />}
          {!busy && (message.content !== '' || message.role !== 'assistant') && (
            <IconButton icon="edit" label={t('edit')} onClick={() => props.onEdit(message.id)} />
          )}
          {!busy && message.role === 'assistant' && (
            <IconButton icon="again" label={t('regenerate')} onClick={() => void app.regenerate(message)} />
          )}
          {message.role === 'assistant' && <Statistics message={message} />}
        </footer>
      )}
      {last && !busy && message.role === 'assistant' && message.toolCalls !== undefined && (
        <ToolResults key={message.id} message={message} />
      )}
    </article>
  );
}

export function Thread(props: { path: Message[]; editing: string | null; onEdit: (id: string | null) => void }) {
  return (
    <>
      {props.path.map((message, i) => (
        <Entry
          key={message.id}
          message={message}
          last={i === props.path.length - 1}
          editing={props.editing === message.id}
          onEdit={props.onEdit}
        />
      ))}
    </>
  );
}

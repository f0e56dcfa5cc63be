import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { app } from '../chat';
import { t } from '../i18n';
import type { Text } from '../i18n';
import { Composer } from './Composer';
import { Dialog } from './Dialog';
import { grow } from './dom';
import { Icon, IconButton } from './icons';
import { KeyDialog, SettingsDialog } from './SettingsDialog';
import { Sidebar } from './Sidebar';
import { Thread } from './Thread';

const STARTERS = ['你好，請介紹一下臺灣。', '臺灣有什麼好吃的？', '請用表格比較臺北和高雄。', 'Write a haiku about Taiwan.'];
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const CONTROL = isMac ? '⌘' : 'Ctrl';
const SHORTCUTS: [string[], Text][] = [
  [['Enter'], 'shortcutSend'],
  [['Shift', 'Enter'], 'shortcutNewline'],
  [[CONTROL, 'Shift', 'O'], 'shortcutNew'],
  [[CONTROL, 'K'], 'shortcutSearch'],
  [['Esc'], 'shortcutStop'],
  [['↑'], 'shortcutEdit'],
  [[CONTROL, 'B'], 'shortcutSidebar'],
  [[CONTROL, ','], 'shortcutSettings'],
  [[CONTROL, '/'], 'shortcutHelp'],
];
const isPhone = () => matchMedia('(max-width: 760px)').matches;

function System() {
  const text = app.current ? app.current.system : app.draftSystem;
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    if (field.current) grow(field.current);
  }, [text]);
  const { systemMessage, systemRecommended } = app.properties;
  const none =
    systemMessage !== '' ? t('systemPromptServer', { text: systemMessage })
    : systemRecommended ? t('systemPromptAdvised')
    : t('systemPromptNone');
  return (
    <details
      class="system"
      key={app.current?.id ?? ''}
      onToggle={() => {
        if (field.current) grow(field.current);
      }}
    >
      <summary>
        {t('systemPrompt')}
        <span class="faint">{text.trim() === '' ? none : text}</span>
      </summary>
      <textarea
        ref={field}
        rows={2}
        value={text}
        aria-label={t('systemPrompt')}
        placeholder={t('systemPromptHint')}
        onInput={(event) => app.setSystem(event.currentTarget.value)}
      />
    </details>
  );
}

function ContextUse() {
  const path = app.path;
  const last = [...path].reverse().find((message) => message.usage);
  if (!last?.usage) return null;
  const used = (last.usage.prompt + last.usage.completion).toLocaleString();
  const most = app.model?.maxLength;
  return (
    <p class="context faint">
      {most === undefined ? t('contextUsed', { used }) : t('context', { used, most: most.toLocaleString() })}
    </p>
  );
}

// Stays at the end while text arrives, until the reader scrolls up.
function useFollow() {
  const frame = useRef<HTMLElement>(null);
  const following = useRef(true);
  const [away, setAway] = useState(false);
  const toEnd = () => {
    following.current = true;
    const element = frame.current;
    if (element) element.scrollTop = element.scrollHeight;
  };
  useLayoutEffect(() => {
    if (following.current) toEnd();
  });
  const onScroll = () => {
    const element = frame.current!;
    const rest = element.scrollHeight - element.scrollTop - element.clientHeight;
    following.current = rest < 48;
    setAway(rest > 240);
  };
  return { frame, toEnd, onScroll, away };
}

export function Page() {
  const [, redraw] = useState(0);
  useEffect(() => app.subscribe(() => redraw((n) => n + 1)), []);
  const [sidebar, setSidebar] = useState(!isPhone());
  const [dialog, setDialog] = useState<'settings' | 'help' | null>(null);
  const [editing, setEditing] = useState<string | null>(null);
  const composer = useRef<HTMLTextAreaElement>(null);
  const searchField = useRef<HTMLInputElement>(null);
  const { frame, toEnd, onScroll, away } = useFollow();
  const { current, path } = app;

  const { theme } = app.settings;
  useLayoutEffect(() => {
    if (theme === 'system') document.documentElement.removeAttribute('data-theme');
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  useEffect(() => {
    document.title = (current?.title ? current.title + ' · ' : '') + 'twllm';
  });
  useEffect(() => {
    setEditing(null);
    toEnd();
    if (!matchMedia('(pointer: coarse)').matches) composer.current?.focus();
  }, [current?.id]);

  const hideOnPhone = () => isPhone() && setSidebar(false);
  const startNew = () => {
    app.show(null);
    hideOnPhone();
    composer.current?.focus();
  };
  const editLast = () => {
    const last = [...path].reverse().find((message) => message.role === 'user');
    if (last && !app.stream) setEditing(last.id);
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.isComposing) return;
      const modal = document.querySelector('dialog[open]') !== null;
      if (event.key === 'Escape' && !modal && app.stream) {
        app.stop();
        return;
      }
      if (!(event.ctrlKey || event.metaKey) || event.altKey || modal) return;
      const key = event.key.toLowerCase();
      const actions: Record<string, () => void> = {
        k: () => {
          setSidebar(true);
          requestAnimationFrame(() => searchField.current?.focus());
        },
        b: () => setSidebar((open) => !open),
        ',': () => setDialog('settings'),
        '/': () => setDialog('help'),
      };
      const action = event.shiftKey ? (key === 'o' ? startNew : undefined) : actions[key];
      if (action) {
        event.preventDefault();
        action();
      }
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);

  return (
    <div class={'page' + (sidebar ? ' with-sidebar' : '')}>
      <Sidebar
        open={sidebar}
        searchField={searchField}
        onClose={() => setSidebar(false)}
        onNew={startNew}
        onSettings={() => setDialog('settings')}
        onHelp={() => setDialog('help')}
        onChosen={hideOnPhone}
      />
      {sidebar && <div class="shade" onClick={() => setSidebar(false)} />}
      <div class="main">
        <header class="top">
          <IconButton icon="menu" label={t('menu')} onClick={() => setSidebar(!sidebar)} />
          <h1>{current?.title || t('untitled')}</h1>
          <span class="model" title={t('model')}>
            {app.connected === false ? <span class="wrong">{t('serverDown')}</span> : (app.model?.id ?? '')}
          </span>
          <IconButton icon="settings" label={t('settings')} onClick={() => setDialog('settings')} />
        </header>
        <main ref={frame} onScroll={onScroll} tabIndex={-1}>
          <div class="thread" key={app.settings.language}>
            <System />
            {path.length === 0 ? (
              <div class="empty">
                <h2>{t('emptyTitle')}</h2>
                <p class="faint">{t('emptyHint')}</p>
                <div class="starters">
                  {STARTERS.map((text) => (
                    <button type="button" key={text} class="button" onClick={() => void app.send(text)}>
                      {text}
                    </button>
                  ))}
                </div>
              </div>
            ) : (
              <Thread path={path} editing={editing} onEdit={setEditing} />
            )}
          </div>
        </main>
        <section class="bottom" aria-label={t('placeholder')}>
          {away && (
            <button type="button" class="icon-button to-end" aria-label={t('toBottom')} title={t('toBottom')} onClick={toEnd}>
              <Icon name="down" />
            </button>
          )}
          {app.notice !== '' && (
            <div class="notice" role="status">
              {app.notice}
              <IconButton
                icon="close"
                label={t('close')}
                onClick={() => {
                  app.notice = '';
                  app.changed();
                }}
              />
            </div>
          )}
          <Composer field={composer} onEditLast={editLast} onSent={toEnd} />
          <ContextUse />
        </section>
      </div>
      <div class="off-screen" role="status" aria-live="polite">
        {app.announcement}
      </div>
      {dialog === 'settings' && <SettingsDialog onClose={() => setDialog(null)} />}
      {dialog === 'help' && (
        <Dialog title={t('shortcuts')} onClose={() => setDialog(null)}>
          <dl class="shortcuts">
            {SHORTCUTS.map(([keys, name]) => (
              <div key={name}>
                <dt>{t(name)}</dt>
                <dd>
                  {keys.map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dd>
              </div>
            ))}
          </dl>
        </Dialog>
      )}
      {app.needsKey !== 'no' && <KeyDialog key={app.needsKey} />}
    </div>
  );
}

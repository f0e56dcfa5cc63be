import type { RefObject } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { app } from '../chat';
import { t } from '../i18n';
import type { Text } from '../i18n';
import type { Conversation } from '../types';
import { Question } from './Dialog';
import { fileName, isComposing, saveFile } from './dom';
import { Icon, IconButton } from './icons';

const DAY = 86_400_000;

function ageGroup(updated: number, now: number): Text {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (updated >= midnight) return 'today';
  if (updated >= midnight - DAY) return 'yesterday';
  return updated >= midnight - 7 * DAY ? 'lastWeek' : 'older';
}

function Entry({ conversation, piece, onChosen }: { conversation: Conversation; piece: string; onChosen: () => void }) {
  const [renaming, setRenaming] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const [menu, setMenu] = useState(false);
  const title = conversation.title || t('untitled');
  const here = app.current?.id === conversation.id;

  useEffect(() => {
    if (!menu) return undefined;
    const close = (event: Event) => {
      if (event instanceof KeyboardEvent && event.key !== 'Escape') return;
      setMenu(false);
    };
    document.addEventListener('click', close);
    document.addEventListener('keydown', close);
    return () => {
      document.removeEventListener('click', close);
      document.removeEventListener('keydown', close);
    };
  }, [menu]);

  if (renaming) {
    const finish = (field: HTMLInputElement, keep: boolean) => {
      setRenaming(false);
      if (keep) void app.rename(conversation.id, field.value);
    };
    return (
      <li class="entry">
        <input
          class="rename"
          value={conversation.title}
          maxLength={200}
          aria-label={t('rename')}
          ref={(field) => {
            if (field && document.activeElement !== field) field.focus();
          }}
          onKeyDown={(event) => {
            if (isComposing(event)) return;
            if (event.key === 'Enter') finish(event.currentTarget, true);
            if (event.key === 'Escape') {
              event.stopPropagation();
              finish(event.currentTarget, false);
            }
          }}
          onBlur={(event) => finish(event.currentTarget, true)}
        />
      </li>
    );
  }
  return (
    <li class={'entry' + (here ? ' here' : '')}>
      <a
        href={'#/c/' + conversation.id}
        aria-current={here ? 'page' : undefined}
        onClick={onChosen}
        onDblClick={() => setRenaming(true)}
      >
        <span class="title">{title}</span>
        {app.streams.has(conversation.id) && <span class="pulse" />}
        {piece !== '' && <span class="piece">{piece}</span>}
      </a>
      <button
        type="button"
        class="icon-button entry-more"
        aria-label={t('more') + ': ' + title}
        aria-expanded={menu}
        onClick={(event) => {
          event.stopPropagation();
          setMenu(!menu);
        }}
      >
        <Icon name="more" />
      </button>
      {menu && (
        <div class="popup" role="menu">
          <button type="button" role="menuitem" onClick={() => setRenaming(true)}>
            <Icon name="edit" /> {t('rename')}
          </button>
          <button
            type="button"
            role="menuitem"
            onClick={() => void app.export(conversation.id).then((text) => saveFile(fileName(title), text, 'application/json'))}
          >
            <Icon name="download" /> {t('export')}
          </button>
          <button type="button" role="menuitem" class="danger" onClick={() => setDeleting(true)}>
            <Icon name="trash" /> {t('delete')}
          </button>
        </div>
      )}
      {deleting && (
        <Question
          text={t('deleteQuestion')}
          action={t('delete')}
          onAnswer={(yes) => {
            setDeleting(false);
            if (yes) void app.remove(conversation.id);
          }}
        />
      )}
    </li>
  );
}

export function Sidebar(props: {
  open: boolean;
  searchField: RefObject<HTMLInputElement | null>;
  onClose: () => void;
  onNew: () => void;
  onSettings: () => void;
  onHelp: () => void;
  onChosen: () => void;
}) {
  const [words, setWords] = useState('');
  const [hits, setHits] = useState<Map<string, string> | null>(null);
  useEffect(() => {
    if (words.trim() === '') {
      setHits(null);
      return undefined;
    }
    let late = false;
    const timer = setTimeout(() => void app.search(words.trim()).then((found) => late || setHits(found)), 120);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [words]);

  const shown = hits ? app.conversations.filter(({ id }) => hits.has(id)) : app.conversations;
  const now = Date.now();
  const groups: { name: Text; entries: Conversation[] }[] = [];
  for (const conversation of shown) {
    const name = ageGroup(conversation.updated, now);
    const last = groups[groups.length - 1];
    if (last?.name === name) last.entries.push(conversation);
    else groups.push({ name, entries: [conversation] });
  }
  return (
    <nav class={'sidebar' + (props.open ? ' open' : '')} aria-label={t('menu')} hidden={!props.open}>
      <div class="sidebar-top">
        <span class="brand">twllm</span>
        <IconButton icon="plus" label={t('newChat')} onClick={props.onNew} />
        <IconButton icon="close" label={t('close')} class="phone-only" onClick={props.onClose} />
      </div>
      <div class="search">
        <Icon name="search" />
        <input
          ref={props.searchField}
          type="search"
          value={words}
          placeholder={t('search')}
          aria-label={t('search')}
          onInput={(event) => setWords(event.currentTarget.value)}
        />
      </div>
      <div class="list">
        {groups.map((group) => (
          <section key={group.name}>
            <h2>{t(group.name)}</h2>
            <ul>
              {group.entries.map((conversation) => (
                <Entry
                  key={conversation.id}
                  conversation={conversation}
                  piece={hits?.get(conversation.id) ?? ''}
                  onChosen={props.onChosen}
                />
              ))}
            </ul>
          </section>
        ))}
        {shown.length === 0 && <p class="faint">{t(hits ? 'noResults' : 'noConversations')}</p>}
      </div>
      <div class="sidebar-bottom">
        <button type="button" class="row-button" onClick={props.onSettings}>
          <Icon name="settings" /> {t('settings')}
        </button>
        <IconButton icon="keyboard" label={t('shortcuts')} onClick={props.onHelp} />
      </div>
    </nav>
  );
}

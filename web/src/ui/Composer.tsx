import type { RefObject } from 'preact';
import { useLayoutEffect, useState } from 'preact/hooks';
import { app } from '../chat';
import { t } from '../i18n';
import { grow, hasTouch, isComposing } from './dom';
import { IconButton } from './icons';

const drafts = new Map<string, string>(); // unsent text of each conversation

export function Composer(props: { field: RefObject<HTMLTextAreaElement | null>; onEditLast: () => void; onSent: () => void }) {
  const where = app.current?.id ?? '';
  const [, redraw] = useState(0);
  const text = drafts.get(where) ?? '';
  const write = (value: string) => {
    drafts.set(where, value);
    redraw((n) => n + 1);
  };
  useLayoutEffect(() => {
    if (props.field.current) grow(props.field.current);
  }, [text, where]);

  const streaming = app.stream !== undefined;
  const send = () => {
    if (streaming || text.trim() === '') return;
    drafts.delete(where);
    redraw((n) => n + 1);
    void app.send(text);
    props.onSent();
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={props.field}
        rows={1}
        value={text}
        placeholder={t('placeholder')}
        aria-label={t('placeholder')}
        enterkeyhint={hasTouch() ? 'enter' : 'send'}
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (isComposing(event)) return;
          // On a touch keyboard Enter is the only way to a new line; the button sends.
          if (event.key === 'Enter' && !event.shiftKey && !hasTouch()) {
            event.preventDefault();
            send();
          }
          if (event.key === 'ArrowUp' && text === '') {
            event.preventDefault();
            props.onEditLast();
          }
        }}
      />
      {streaming ? (
        <IconButton icon="stop" label={t('stop')} class="round" onClick={() => app.stop()} />
      ) : (
        <IconButton icon="send" label={t('send')} class="round" disabled={text.trim() === ''} onClick={send} />
      )}
    </form>
  );
}

import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { t } from '../i18n';
import { IconButton } from './icons';

// A modal dialog of the browser: focus stays inside, Escape closes, focus returns to where it was.
export function Dialog(props: { title: string; class?: string; onClose: () => void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current!;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={'dialog ' + (props.class ?? '')}
      aria-label={props.title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onClick={(event) => {
        if (event.target === ref.current) props.onClose(); // beside it
      }}
    >
      <div class="dialog-body">
        <header>
          <h2>{props.title}</h2>
          <IconButton icon="close" label={t('close')} onClick={props.onClose} />
        </header>
        {props.children}
      </div>
    </dialog>
  );
}

export function Question(props: { text: string; action: string; onAnswer: (yes: boolean) => void }) {
  return (
    <Dialog title={props.action} class="question" onClose={() => props.onAnswer(false)}>
      <p>{props.text}</p>
      <div class="buttons">
        <button type="button" class="button" onClick={() => props.onAnswer(false)}>
          {t('cancel')}
        </button>
        <button type="button" class="button danger" onClick={() => props.onAnswer(true)}>
          {props.action}
        </button>
      </div>
    </Dialog>
  );
}

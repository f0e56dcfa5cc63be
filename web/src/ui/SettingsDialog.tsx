import { useRef, useState } from 'preact/hooks';
import { parseTools } from '../api';
import { app } from '../chat';
import { t } from '../i18n';
import type { Text } from '../i18n';
import { LIMITS, loadApiKey, remembersApiKey, validNumber } from '../settings';
import type { NumberSetting } from '../settings';
import type { Settings } from '../types';
import { Dialog, Question } from './Dialog';
import { saveFile } from './dom';
import { Icon } from './icons';

function Choice<K extends 'theme' | 'language' | 'format'>(props: {
  name: K;
  label: string;
  options: [Settings[K], string][];
}) {
  return (
    <fieldset class="choice">
      <legend>{props.label}</legend>
      {props.options.map(([value, label]) => (
        <label key={value}>
          <input
            type="radio"
            name={props.name}
            checked={app.settings[props.name] === value}
            onChange={() => app.change({ [props.name]: value })}
          />
          <span>{label}</span>
        </label>
      ))}
    </fieldset>
  );
}

function NumberField({ name }: { name: NumberSetting }) {
  const value = app.settings[name];
  const [text, setText] = useState(value === null ? '' : String(value));
  const { min, max, step } = LIMITS[name];
  const wrong = text.trim() !== '' && !validNumber(name, Number(text));
  const standard = app.properties.sampling[name];
  return (
    <label class="field">
      <span>{t(name)}</span>
      <input
        type="number"
        inputMode="decimal"
        min={min}
        max={max}
        step={step}
        value={text}
        placeholder={typeof standard === 'number' ? String(Math.round(standard * 1e4) / 1e4) : t('serverDefault')}
        aria-invalid={wrong}
        onInput={(event) => {
          const next = event.currentTarget.value;
          setText(next);
          if (next.trim() === '') app.change({ [name]: null });
          else if (validNumber(name, Number(next))) app.change({ [name]: Number(next) });
        }}
      />
      {wrong && <span class="wrong">{t('invalidNumber', { min, max })}</span>}
    </label>
  );
}

function AreaField(props: {
  label: string;
  value: string;
  rows: number;
  code?: boolean;
  check?: (text: string) => void; // throws when the text cannot be taken
  onChange: (text: string) => void;
}) {
  const [text, setText] = useState(props.value);
  let wrong = '';
  try {
    props.check?.(text);
  } catch (error) {
    wrong = error instanceof Error ? error.message : String(error);
  }
  return (
    <label class="field wide">
      <span>{props.label}</span>
      <textarea
        class={props.code ? 'code' : ''}
        rows={props.rows}
        value={text}
        spellcheck={!props.code}
        aria-invalid={wrong !== ''}
        onInput={(event) => {
          const next = event.currentTarget.value;
          setText(next);
          try {
            props.check?.(next);
            props.onChange(next);
          } catch {
            // kept here until it can be taken
          }
        }}
      />
      {wrong !== '' && <span class="wrong">{t('invalidJson', { why: wrong })}</span>}
    </label>
  );
}

function checkSchema(text: string): void {
  if (text.trim() === '') return;
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'boolean' && (typeof value !== 'object' || value === null || Array.isArray(value)))
    throw new Error('{…}');
}

export function SettingsDialog({ onClose }: { onClose: () => void }) {
  const file = useRef<HTMLInputElement>(null);
  const [deleting, setDeleting] = useState(false);
  const [version, setVersion] = useState(0); // of the fields: a reset makes them anew
  const { settings } = app;
  const numbers = Object.keys(LIMITS) as NumberSetting[];
  const labels = (names: Text[]) => names.map((name) => t(name));
  const [system, light, dark] = labels(['themeSystem', 'themeLight', 'themeDark']);
  return (
    <Dialog title={t('settings')} class="drawer" onClose={onClose}>
      <section>
        <h3>{t('general')}</h3>
        <Choice name="language" label={t('language')} options={[['zh-TW', '正體中文'], ['en', 'English']]} />
        <Choice name="theme" label={t('theme')} options={[['system', system!], ['light', light!], ['dark', dark!]]} />
        {app.models.length > 1 && (
          <label class="field wide">
            <span>{t('model')}</span>
            <select value={app.model?.id ?? ''} onChange={(event) => app.change({ model: event.currentTarget.value })}>
              {app.models.map(({ id }) => (
                <option key={id} value={id}>
                  {id}
                </option>
              ))}
            </select>
          </label>
        )}
        <AreaField label={t('defaultSystem')} rows={3} value={settings.system} onChange={(text) => app.change({ system: text })} />
      </section>
      <section key={version}>
        <h3>{t('sampling')}</h3>
        <p class="faint">{t('samplingHint')}</p>
        <div class="grid">
          {numbers.map((name) => (
            <NumberField key={name} name={name} />
          ))}
        </div>
        <AreaField
          label={t('stopStrings')}
          rows={2}
          value={settings.stop.join('\n')}
          onChange={(text) => app.change({ stop: text.split('\n').filter((line) => line !== '') })}
        />
        <label class="switch">
          <input
            type="checkbox"
            role="switch"
            checked={settings.hant}
            onChange={(event) => app.change({ hant: event.currentTarget.checked })}
          />
          <span>
            {t('hant')}
            <small>{t('hantHint')}</small>
          </span>
        </label>
        <button
          type="button"
          class="button"
          onClick={() => {
            app.change({ stop: [], hant: false, ...Object.fromEntries(numbers.map((name) => [name, null])) });
            setVersion(version + 1);
          }}
        >
          {t('resetSampling')}
        </button>
      </section>
      <section>
        <h3>{t('output')}</h3>
        <Choice
          name="format"
          label={t('format')}
          options={[['text', t('formatText')], ['json_object', t('formatJson')], ['json_schema', t('formatSchema')]]}
        />
        {settings.format === 'json_schema' && (
          <AreaField label={t('schema')} rows={5} code value={settings.schema} check={checkSchema} onChange={(schema) => app.change({ schema })} />
        )}
        <AreaField label={t('tools')} rows={4} code value={settings.tools} check={parseTools} onChange={(tools) => app.change({ tools })} />
      </section>
      <section>
        <h3>{t('data')}</h3>
        <div class="buttons start">
          <button
            type="button"
            class="button"
            onClick={() =>
              void app.export().then((text) => {
                saveFile(`twllm-${new Date().toISOString().slice(0, 10)}.json`, text, 'application/json');
              })
            }
          >
            <Icon name="download" /> {t('exportAll')}
          </button>
          <button type="button" class="button" onClick={() => file.current!.click()}>
            <Icon name="upload" /> {t('import')}
          </button>
          <button type="button" class="button danger" onClick={() => setDeleting(true)}>
            <Icon name="trash" /> {t('deleteAll')}
          </button>
          <input
            ref={file}
            type="file"
            accept=".json,application/json"
            class="off-screen"
            tabIndex={-1}
            aria-label={t('import')}
            onChange={(event) => {
              const field = event.currentTarget;
              const chosen = field.files?.[0];
              if (chosen) void chosen.text().then((text) => app.import(text)).then(onClose);
              field.value = '';
            }}
          />
        </div>
      </section>
      <section>
        <h3>{t('apiKey')}</h3>
        <KeyForm />
      </section>
      <p class="faint">
        <a href="licenses.txt" target="_blank" rel="noopener">
          {t('licenses')}
        </a>
      </p>
      {deleting && (
        <Question
          text={t('deleteAllQuestion')}
          action={t('deleteAll')}
          onAnswer={(yes) => {
            setDeleting(false);
            if (yes) void app.removeAll();
          }}
        />
      )}
    </Dialog>
  );
}

function KeyForm() {
  const [key, setKey] = useState(loadApiKey());
  const [remember, setRemember] = useState(remembersApiKey());
  return (
    <form
      class="key-form"
      onSubmit={(event) => {
        event.preventDefault();
        void app.giveKey(key, remember);
      }}
    >
      <label class="field wide">
        <span class="off-screen">{t('apiKey')}</span>
        <input
          type="password"
          autocomplete="off"
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
        />
      </label>
      <label class="switch">
        <input type="checkbox" checked={remember} onChange={(event) => setRemember(event.currentTarget.checked)} />
        <span>{t('rememberKey')}</span>
      </label>
      <div class="buttons">
        <button type="submit" class="button primary">
          {t('save')}
        </button>
      </div>
    </form>
  );
}

export function KeyDialog() {
  return (
    <Dialog title={t('apiKey')} class="key" onClose={() => app.dismissKey()}>
      <p>{t(app.needsKey === 'wrong' ? 'apiKeyWrong' : 'apiKeyHint')}</p>
      <KeyForm />
    </Dialog>
  );
}

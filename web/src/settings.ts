// The settings, kept in localStorage. What is read from there is checked as anything from outside.

import type { Settings } from './types';

const KEY = 'twllm.settings';
const API_KEY = 'twllm.api-key';

export const DEFAULTS: Settings = {
  theme: 'system',
  language: /^zh\b/i.test(navigator.language) ? 'zh-TW' : 'en',
  model: '',
  system: '',
  temperature: null,
  top_p: null,
  top_k: null,
  min_p: null,
  max_tokens: null,
  seed: null,
  repetition_penalty: null,
  stop: [],
  hant: false,
  tools: '',
  format: 'text',
  schema: '',
};

export const LIMITS = {
  temperature: { min: 0, max: 5, step: 0.05 },
  top_p: { min: 0, max: 1, step: 0.01 },
  top_k: { min: -1, max: 1_000_000, step: 1 },
  min_p: { min: 0, max: 1, step: 0.01 },
  repetition_penalty: { min: 0.01, max: 10, step: 0.01 },
  max_tokens: { min: 1, max: 10_000_000, step: 1 },
  seed: { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
} as const;
export type NumberSetting = keyof typeof LIMITS;

export function validNumber(name: NumberSetting, value: number): boolean {
  const { min, max, step } = LIMITS[name];
  return Number.isFinite(value) && value >= min && value <= max && (step !== 1 || Number.isInteger(value));
}

function read(storage: Storage, key: string): string | null {
  try {
    return storage.getItem(key);
  } catch {
    return null; // storage is switched off
  }
}
function write(storage: Storage, key: string, value: string): void {
  try {
    if (value === '') storage.removeItem(key);
    else storage.setItem(key, value);
  } catch {
    // full or switched off: the settings last as long as the page
  }
}

export function loadSettings(): Settings {
  const settings: Settings = { ...DEFAULTS };
  let stored: Record<string, unknown>;
  try {
    stored = JSON.parse(read(localStorage, KEY) ?? '{}') as Record<string, unknown>;
  } catch {
    return settings;
  }
  const choose = <T>(name: keyof Settings, allowed: readonly T[]) => {
    if (allowed.includes(stored[name] as T)) Object.assign(settings, { [name]: stored[name] });
  };
  choose('theme', ['system', 'light', 'dark']);
  choose('language', ['zh-TW', 'en']);
  choose('format', ['text', 'json_object', 'json_schema']);
  choose('hant', [true, false]);
  for (const name of ['model', 'system', 'tools', 'schema'] as const)
    if (typeof stored[name] === 'string') settings[name] = stored[name];
  for (const name of Object.keys(LIMITS) as NumberSetting[]) {
    const value = stored[name];
    if (typeof value === 'number' && validNumber(name, value)) settings[name] = value;
  }
  if (Array.isArray(stored.stop)) settings.stop = stored.stop.filter((stop) => typeof stop === 'string');
  return settings;
}

export function saveSettings(settings: Settings): void {
  write(localStorage, KEY, JSON.stringify(settings));
}

// The key lasts as long as the tab, unless the user wants it remembered.
export function loadApiKey(): string {
  return read(sessionStorage, API_KEY) ?? read(localStorage, API_KEY) ?? '';
}
export function saveApiKey(key: string, remember: boolean): void {
  write(sessionStorage, API_KEY, key);
  write(localStorage, API_KEY, remember ? key : '');
}
export function remembersApiKey(): boolean {
  return (read(localStorage, API_KEY) ?? '') !== '';
}

import { signal } from '@preact/signals';

/** The themes that can be chosen; `system`: as the system has it. */
export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const KEY = 'linkspan-theme';

/** What was chosen. */
export const theme = signal<Theme>(remembered());

function remembered(): Theme {
  try {
    const kept = window.localStorage.getItem(KEY);
    return THEMES.find((one) => one === kept) ?? 'system';
  } catch {
    // Storage may be off: then it is the system's each time.
    return 'system';
  }
}

/** Shows the theme that was chosen before. */
export function showTheme(): void {
  if (theme.value === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme.value;
}

/** The next one, kept for the next time. */
export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? 'system';
  showTheme();
  try {
    window.localStorage.setItem(KEY, theme.value);
  } catch {
    // It holds as long as the page is open.
  }
}

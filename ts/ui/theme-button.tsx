/** Light, dark, or as the system has it; remembered by the browser. */
import { useEffect, useState } from 'preact/hooks';

const themes = ['system', 'dark', 'light'] as const;
type Theme = (typeof themes)[number];
const key = 'stomp-theme';

export function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(() => themeOf(localStorage.getItem(key)));
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(key, theme);
  }, [theme]);
  const next = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'system';
  return (
    <button type="button" class="quiet" onClick={() => setTheme(next)}>
      Theme: {theme}
    </button>
  );
}

function themeOf(kept: string | null): Theme {
  return themes.find((theme) => theme === kept) ?? 'system';
}

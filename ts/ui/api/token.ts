/** The approver token. It comes in the fragment of the address, which no server sees, and stays in this tab. */

const key = 'stomp-approver-token';

/** What is used of the browser. */
export interface TokenPlace {
  readonly location: { readonly hash: string; readonly pathname: string; readonly search: string };
  readonly history: { replaceState(data: null, unused: '', url: string): void };
  readonly storage: {
    getItem(key: string): string | null;
    setItem(key: string, value: string): void;
    removeItem(key: string): void;
  };
}

/** Takes it out of the address bar, where others could read it, or remembers it from before. */
export function takeToken({ location, history, storage }: TokenPlace): string | undefined {
  const token = new URLSearchParams(location.hash.slice(1)).get('token')?.trim();
  if (!token) return storage.getItem(key) ?? undefined;
  storage.setItem(key, token);
  history.replaceState(null, '', `${location.pathname}${location.search}`);
  return token;
}

export function keepToken(storage: TokenPlace['storage'], token: string | undefined): void {
  if (token === undefined) storage.removeItem(key);
  else storage.setItem(key, token);
}

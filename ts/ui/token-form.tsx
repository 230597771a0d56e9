/** Where the approver token is entered: at once when there is none, or when the server does not take it. */
import { useId, useState } from 'preact/hooks';
import { keepToken } from './api/token.js';
import type { Link } from './state/live-state.js';
import { useServices } from './state/services.js';
import { useStore } from './state/store.js';

export function TokenForm() {
  const { token, isTokenRefused, live } = useServices();
  const known = useStore(token);
  const isRefused = useStore(isTokenRefused);
  const link = useStore(live.link);
  const id = useId();
  const [written, setWritten] = useState('');
  if (known !== undefined && link.status !== 'refused' && !isRefused) return null;
  const enter = (event: Event) => {
    event.preventDefault();
    const entered = written.trim();
    if (entered === '') return;
    keepToken(sessionStorage, entered);
    token.set(entered);
    isTokenRefused.set(false);
    setWritten('');
    live.start();
  };
  return (
    <form class="token" onSubmit={enter}>
      <label for={id}>{request(link, isRefused)}</label>
      <input
        id={id}
        type="password"
        autocomplete="off"
        spellcheck={false}
        value={written}
        onInput={(event) => setWritten(event.currentTarget.value)}
      />
      <button type="submit" class="primary">
        Use it
      </button>
    </form>
  );
}

function request(link: Link, isRefused: boolean): string {
  if (link.status === 'refused') return `${link.reason} Approver token:`;
  return isRefused
    ? 'The server does not take this token. Paste the approver token that it has printed at its start:'
    : 'You may look. To decide, paste the approver token that the server has printed at its start:';
}

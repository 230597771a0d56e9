/** Begins the dashboard. */
import './styles/base.css';
import './styles/layout.css';
import './styles/parts.css';
import './styles/approvals.css';
import { render } from 'preact';
import { Api } from './api/client.js';
import { takeToken } from './api/token.js';
import { App } from './app.js';
import { LiveState } from './state/live-state.js';
import type { Services } from './state/services.js';
import { createStore } from './state/store.js';

const token = createStore(takeToken({ location, history, storage: sessionStorage }));
const isTokenRefused = createStore<boolean>(false);
const api = new Api({ token: () => token.get(), onRefused: () => isTokenRefused.set(true) });
const live = new LiveState(api);
const services: Services = {
  api,
  live,
  token,
  isTokenRefused,
  notice: createStore<ReturnType<Services['notice']['get']>>(undefined),
  openRun: createStore<string | undefined>(undefined),
};

window.addEventListener('online', () => live.retryNow());
// A second address with a token, opened in the same tab.
window.addEventListener('hashchange', () => {
  const before = token.get();
  token.set(takeToken({ location, history, storage: sessionStorage }));
  if (token.get() !== before) live.start();
});

const root = document.getElementById('app');
if (!root) throw new Error('The page has no place for the application.');
render(<App services={services} />, root);
live.start();

/** What every part of the page may use. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Api } from '../api/client.js';
import type { LiveState } from './live-state.js';
import type { Store } from './store.js';

export interface Notice {
  /** Each is another one, even when it says the same. */
  readonly id: number;
  readonly text: string;
  readonly kind: 'info' | 'problem';
}

export interface Services {
  readonly api: Api;
  readonly live: LiveState;
  /** Without it one may look only. */
  readonly token: Store<string | undefined>;
  /** The server has not taken the token for something that was to be done. */
  readonly isTokenRefused: Store<boolean>;
  readonly notice: Store<Notice | undefined>;
  /** The run that is shown. */
  readonly openRun: Store<string | undefined>;
}

export const ServicesContext = createContext<Services | undefined>(undefined);

/** REQUIRES: below the application. */
export function useServices(): Services {
  const services = useContext(ServicesContext);
  if (!services) throw new Error('This is drawn outside of the application.');
  return services;
}

let notices = 0;

/** Says it once, calmly: shown, and read out by screen readers. */
export function tell(
  { notice }: Pick<Services, 'notice'>,
  text: string,
  kind: Notice['kind'] = 'info',
): void {
  notices += 1;
  notice.set({ id: notices, text, kind });
}

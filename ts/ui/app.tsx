/** The page: who waits for the person comes first; runs and panels stand beside it. */
import { useEffect, useState } from 'preact/hooks';
import type { ClutchState } from '../clutch/events/state.js';
import { Announcer } from './announcer.js';
import { Queue } from './approvals/queue.js';
import { Header } from './header.js';
import { Help } from './help.js';
import { Panels } from './panels/panels.js';
import { RunView } from './runs/run-view.js';
import { RunsList } from './runs/runs-list.js';
import { StartRun } from './runs/start-run.js';
import { type Services, ServicesContext } from './state/services.js';
import { useStore } from './state/store.js';
import { useCommands } from './state/use-commands.js';
import { TokenForm } from './token-form.js';

export function App({ services }: { readonly services: Services }) {
  const state = useStore(services.live.state);
  const [dialog, setDialog] = useState<'help' | 'start'>();
  useCommands({ help: () => setDialog('help') });
  // A dialog says late that it is closed: by then another one may be open.
  const closed = (which: typeof dialog) => () => setDialog((now) => (now === which ? undefined : now));
  useTitle(state);
  return (
    <ServicesContext.Provider value={services}>
      <a class="skip" href="#waiting">
        To what waits for you
      </a>
      <Header state={state} onHelp={() => setDialog('help')} />
      <Announcer state={state} />
      <TokenForm />
      {state ? (
        <Page state={state} services={services} onStart={() => setDialog('start')} />
      ) : (
        <main id="waiting" class="first">
          <h2>Waiting for you</h2>
          <p class="empty">Reading what there is…</p>
        </main>
      )}
      {dialog === 'help' ? <Help onClose={closed('help')} /> : null}
      {dialog === 'start' ? <StartRun onClose={closed('start')} /> : null}
    </ServicesContext.Provider>
  );
}

interface PageProps {
  readonly state: ClutchState;
  readonly services: Services;
  readonly onStart: () => void;
}

function Page({ state, services, onStart }: PageProps) {
  const open = useStore(services.openRun);
  const run = open === undefined ? undefined : state.runs[open];
  return (
    <div class="page">
      <main id="waiting" tabIndex={-1}>
        <Queue state={state} />
        {run ? <RunView key={run.id} run={run} /> : null}
      </main>
      <RunsList state={state} onStart={onStart} />
      <Panels state={state} />
    </div>
  );
}

/** How many wait is seen on the tab too. */
function useTitle(state: ClutchState | undefined): void {
  const waiting = Object.values(state?.approvals ?? {}).filter(({ status }) => status === 'pending').length;
  useEffect(() => {
    document.title = waiting === 0 ? 'stomp-serve' : `(${waiting}) stomp-serve`;
  }, [waiting]);
}

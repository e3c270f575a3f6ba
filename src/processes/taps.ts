import { TAP_PATH } from '../api/answers/tap-events.ts';
import { systemClock } from '../base/clock.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { TapAccess } from '../tap/tap-access.ts';
import { type TapOpener, TapPage } from '../tap/tap-page.ts';
import { TapRules } from '../tap/tap-rules.ts';
import type { AdminContent } from '../telemetry/admin-pages.ts';
import { Exposition } from '../telemetry/exposition.ts';
import type { Logger } from '../telemetry/log.ts';
import { nextTurn } from '../telemetry/pieces.ts';
import type { Registry } from '../telemetry/registry.ts';

/** The flags about `GET /tap`. */
export interface TapSettings {
  /** A client of the process' own cluster, which says who may look; undefined: nobody may. */
  readonly openTapClient: (() => KubeClient) | undefined;
  readonly tapPaths: boolean;
}

/** The page of a process by which people look at its requests, if there is one. */
export interface Taps extends Pick<AdminContent, 'streams'> {
  /** Tells those who look that the process ends. */
  end(): Promise<void>;
  close(): Promise<void>;
}

const NO_TAPS: Taps = { end: () => Promise.resolve(), close: () => Promise.resolve() };

/** @param process what looks: this process, or its workers */
export function openTaps(
  settings: TapSettings,
  {
    process,
    registry,
    log,
  }: { readonly process: TapOpener; readonly registry: Registry; readonly log: Logger },
): Taps {
  if (settings.openTapClient === undefined) return NO_TAPS;
  const client = settings.openTapClient();
  const shared = { client, clock: systemClock };
  const page = new TapPage({
    process,
    access: new TapAccess(shared),
    rules: new TapRules(shared),
    paths: settings.tapPaths,
    clock: systemClock,
    log,
  });
  registry.addText(() => {
    const out = new Exposition();
    page.write(out);
    return out.pieces();
  });
  return {
    streams: new Map([[TAP_PATH, (request, query) => page.answer(request, query)]]),
    end: () => {
      page.close();
      // What is told last is sent before connections are cut.
      return nextTurn();
    },
    close: () => client.close(),
  };
}

import { TAP_PATH } from '../api/answers/tap-events.ts';
import { systemClock } from '../base/clock.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { TapAccess } from '../tap/tap-access.ts';
import { type TapOpener, TapPage, writeTaps } from '../tap/tap-page.ts';
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
  const client = settings.openTapClient?.();
  const page = client && pageOf(client, process, settings, log);
  registry.addText(() => {
    const out = new Exposition();
    writeTaps(out, page);
    return out.pieces();
  });
  if (client === undefined || page === undefined) return NO_TAPS;
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

function pageOf(
  client: KubeClient,
  process: TapOpener,
  { tapPaths: paths }: TapSettings,
  log: Logger,
): TapPage {
  const clock = systemClock;
  const shared = { client, clock };
  return new TapPage({
    process,
    access: new TapAccess(shared),
    rules: new TapRules(shared),
    paths,
    clock,
    log,
  });
}

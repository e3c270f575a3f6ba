import { FAILOVER_DRAIN } from '../../src/api/failover/failover-names.ts';
import { writeDrain } from '../../src/api/failover/failover-drain.ts';
import type { Sample } from '../../test/e2e/programs/open-loop.mts';
import { monotonicMs } from '../../test/e2e/programs/open-loop.mts';
import { FAILFAST_MS } from '../../src/proxy/upstream/target-options.ts';
import { eventually } from '../../test/support/eventually.ts';
import type { BenchService, ServiceOptions } from './bench-service.ts';
import { endOf, type FaultTime, isDrawn, observedShares } from './figures.ts';
import type { Stage } from './stage.ts';
import { cutOff } from './support/network.ts';

/** What the figures of a fault are held against; undefined: nothing is demanded. */
export interface Demands {
  readonly firstMs?: number;
  readonly steadyMs?: number;
  /** Which requests may fail: none, or those that may not be sent twice, in hand (RST) or at all. */
  readonly mayFail: 'none' | 'in hand' | 'not idempotent' | 'any';
}

/** One more figure of a run. */
export interface Extra {
  readonly what: string;
  readonly unit: 'ms' | 'pt';
  readonly value: number;
  /** The most that it may be. */
  readonly must?: number;
}

export interface RunOfFault {
  readonly stage: Stage;
  readonly service: BenchService;
  readonly samples: () => readonly Sample[];
}

/** What a fault left to be looked at when all requests of its run have ended. */
export type Look = (samples: readonly Sample[]) => readonly Extra[];

export interface Injected extends FaultTime {
  readonly look?: Look;
}

export interface Fault {
  readonly name: string;
  /** For the table. */
  readonly title: string;
  readonly service: ServiceOptions;
  /** How long clients ask after the fault, milliseconds. */
  readonly forMs: number;
  readonly demands: Demands;
  readonly inject: (run: RunOfFault) => Promise<Injected>;
}

const wait = { timeoutMs: 30_000, everyMs: 20 };
/** In order, and back at once: how long it is held is measured by `fail-back`. */
const IN_ORDER: ServiceOptions = { tiers: 'west; north', policy: 'delay=0s ramp=0s' };
const HOLD_MS = 2000;
const RAMP_MS = 4000;
const SHORT_HOLD: ServiceOptions = {
  tiers: 'west; north',
  policy: `delay=${HOLD_MS}ms ramp=${RAMP_MS}ms`,
};
const RST: Demands = { firstMs: 50, steadyMs: 250, mayFail: 'in hand' };
const SILENCE: Demands = { firstMs: 1700, steadyMs: 2000, mayFail: 'not idempotent' };
const POINTS = 100;

/** In the order of the table. */
export const FAULTS: readonly Fault[] = [
  {
    name: 'killed',
    title: 'gateway killed (RST)',
    service: IN_ORDER,
    forMs: 3000,
    demands: RST,
    inject: ({ stage }) => kill(stage),
  },
  {
    name: 'black-hole',
    title: 'gateway black hole',
    service: IN_ORDER,
    forMs: 4000,
    demands: SILENCE,
    inject: ({ stage }) => cut([stage.gatewayAddress('west')]),
  },
  {
    name: 'wan-cut',
    title: 'WAN cut: gateway and API',
    service: IN_ORDER,
    forMs: 4000,
    demands: SILENCE,
    inject: ({ stage }) => cut([stage.gatewayAddress('west'), stage.cluster('west').address]),
  },
  {
    name: 'no-endpoints',
    title: 'all endpoints gone',
    service: IN_ORDER,
    forMs: 3000,
    demands: { firstMs: 20, steadyMs: 1000, mayFail: 'none' },
    inject: async ({ service }) => {
      const ordered = monotonicMs();
      await service.setReady('west', 0);
      return { ordered, at: monotonicMs() };
    },
  },
  {
    name: 'half',
    title: 'half of the endpoints gone',
    service: IN_ORDER,
    forMs: 4000,
    demands: { mayFail: 'none' },
    inject: async ({ service }) => {
      const at = monotonicMs();
      await service.setReady('west', 5);
      await eventually(
        'the share of west follows',
        async () => (await service.shares()).get('west') === 0.7,
        wait,
      );
      const publishedMs = monotonicMs() - at;
      const look: Look = (samples) => [
        { what: 'until the share is published', unit: 'ms', value: publishedMs, must: 1000 },
        {
          what: 'share of west, beside 70 % after 1 s',
          unit: 'pt',
          value: POINTS * ((observedShares(samples, at + 1000, Infinity).get('west') ?? 0) - 0.7),
          must: 1,
        },
      ];
      return { ordered: at, at, look };
    },
  },
  {
    name: 'api-cut',
    title: 'target API partitioned only',
    service: IN_ORDER,
    forMs: 5000,
    demands: { firstMs: 20, steadyMs: 0, mayFail: 'none' },
    inject: async ({ stage, service }) => {
      const before = await service.shares();
      const injected = await cut([stage.cluster('west').address]);
      const look: Look = (samples) => [
        {
          what: 'change of the share of west',
          unit: 'pt',
          value:
            POINTS *
            Math.abs(
              (observedShares(samples, injected.at, Infinity).get('west') ?? 0) - (before.get('west') ?? 0),
            ),
          must: 1,
        },
      ];
      return { ...injected, look };
    },
  },
  {
    name: 'no-controllers',
    title: 'all controllers killed, then gateway killed',
    service: IN_ORDER,
    forMs: 3000,
    demands: RST,
    inject: async ({ stage }) => {
      await stage.killControllers();
      return kill(stage);
    },
  },
  {
    name: 'both-dead',
    title: 'both clusters dead, one returns',
    service: IN_ORDER,
    forMs: 4000,
    demands: { firstMs: 2500, mayFail: 'any' },
    inject: async ({ stage, samples }) => {
      await Promise.all([stage.gateway('west').kill(), stage.gateway('north').kill()]);
      const dead = monotonicMs();
      await eventually('clients are told why', () => samples().some((one) => isToldOf(one, dead)), wait);
      // Before the failfast time is over requests are tried again: the clusters may be back in a moment.
      const over = dead + FAILFAST_MS + 500;
      await new Promise((resolve) => setTimeout(resolve, over + 1000 - monotonicMs()));
      await stage.gateway('west').start();
      const at = monotonicMs();
      const look: Look = (all) => {
        const told = all.filter((one) => isToldOf(one, over) && endOf(one) < at);
        const took = told.map(([, , ms]) => ms).sort((a, b) => a - b);
        const median = took[Math.floor(took.length / 2)];
        return median === undefined
          ? []
          : [
              {
                what: 'until a client is told why, once that has lasted',
                unit: 'ms',
                value: median,
                must: 10,
              },
            ];
      };
      return { ordered: at, at, look };
    },
  },
  {
    name: 'fail-back',
    title: `fail-back: held ${HOLD_MS / 1000} s, then a ramp of ${RAMP_MS / 1000} s`,
    service: SHORT_HOLD,
    forMs: HOLD_MS + RAMP_MS + 1000,
    demands: { mayFail: 'none' },
    inject: async ({ stage, service }) => {
      await stage.gateway('west').kill();
      await eventually('west is withdrawn', async () => (await service.shares()).get('west') === 0, wait);
      await stage.gateway('west').start();
      const west = await eventually(
        'west can be used',
        async () =>
          (await service.members()).find(({ name, usableSince }) => name === 'west' && usableSince !== null),
        wait,
      );
      const at = monotonicMs() - (Date.now() - (west.usableSince ?? 0));
      return { ordered: at, at, look: (samples) => lookAtReturn(samples, at, west.holdMs) };
    },
  },
  {
    name: 'drain',
    title: `drain over ${RAMP_MS / 1000} s`,
    service: IN_ORDER,
    forMs: RAMP_MS + 3000,
    demands: { firstMs: 20, mayFail: 'none' },
    inject: async ({ stage }) => {
      const [at, start] = [monotonicMs(), Date.now()];
      const drain = writeDrain({ to: 0, start, rampMs: RAMP_MS, until: start + 60_000, drill: false });
      await stage.annotateLink('west', FAILOVER_DRAIN, drain);
      const look: Look = (samples) => {
        const last = samples.filter(([stream, due, , by]) => by === 'west' && due > at && isDrawn(stream));
        const value = Math.max(0, ...last.map(endOf)) - at - RAMP_MS;
        return [{ what: 'last request to west, after the ramp', unit: 'ms', value, must: 1000 }];
      };
      return { ordered: at, at, look };
    },
  },
];

/** @param holdMs longer than the policy says where it was withdrawn more than once, as on a busy machine */
function lookAtReturn(samples: readonly Sample[], at: number, holdMs: number): readonly Extra[] {
  const part = (from: number, to: number) => observedShares(samples, at + from, at + to).get('west') ?? 0;
  const middle = holdMs + RAMP_MS / 4;
  return [
    { what: 'share of west while it is held', unit: 'pt', value: POINTS * part(200, holdMs - 200), must: 0 },
    {
      what: 'share of west in the second around a quarter of the ramp, beside 25 %',
      unit: 'pt',
      value: POINTS * (part(middle - 500, middle + 500) - 0.25),
      must: 1,
    },
  ];
}

/** SIGKILL for the gateway of the first cluster. */
async function kill(stage: Stage): Promise<Injected> {
  const ordered = monotonicMs();
  await stage.gateway('west').kill();
  return { ordered, at: monotonicMs() };
}

function cut(addresses: readonly string[]): Promise<Injected> {
  const ordered = monotonicMs();
  cutOff(addresses);
  return Promise.resolve({ ordered, at: monotonicMs() });
}

function isToldOf([, due, , , failure]: Sample, after: number): boolean {
  return due > after && failure.startsWith('502');
}

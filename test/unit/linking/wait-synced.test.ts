import { expect } from 'chai';
import { describeError } from '../../../src/api/errors/linkspan-error.ts';
import type { LinkObject } from '../../../src/api/link/link-schema.ts';
import type { Condition } from '../../../src/api/link/link-status.ts';
import { linkState, waitUntilSynced } from '../../../src/linking/wait-synced.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

type Words = `${'True' | 'False' | 'Unknown'} ${string}`;
interface Said {
  readonly credentials?: Words;
  readonly api?: Words;
  readonly gateway?: Words;
  readonly synced?: Words;
}

const TYPES = {
  credentials: 'CredentialsValid',
  api: 'APIReachable',
  gateway: 'GatewayAlive',
  synced: 'Synced',
};
const well: Said = {
  credentials: 'True Accepted',
  api: 'True Connected',
  gateway: 'True ProbesAnswered',
  synced: 'True AllMirrored',
};

/** A Link of generation 3 whose controller has said this of a generation. */
function linkWith(said: Said | undefined, generation = 3): LinkObject {
  const conditions = Object.entries(said ?? {}).map(([key, words]): Condition => {
    const [status, reason = ''] = String(words).split(' ');
    return {
      type: TYPES[key as keyof Said],
      status: status as Condition['status'],
      reason,
      message: reason === 'ProbesFailed' ? '10.0.0.1: dead' : '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
      observedGeneration: generation,
    };
  });
  return {
    metadata: { name: 'west', namespace: 'links', generation: 3 },
    ...(said === undefined ? {} : { status: { conditions, mirrorCount: 2 } }),
  };
}

describe('where a Link stands', () => {
  const waiting: readonly [string, LinkObject, RegExp][] = [
    ['nobody has looked at it', linkWith(undefined), /no controller/],
    ['what was said is about an earlier spec', linkWith(well, 2), /no controller/],
    [
      'its Secret is wrong',
      linkWith({ ...well, credentials: 'False InvalidCredentials' }),
      /^CredentialsValid: Inv/,
    ],
    ['the target is away', linkWith({ ...well, api: 'False Unreachable' }), /^APIReachable: Unreachable$/],
    ['mirrors are being made', linkWith({ ...well, synced: 'False Mirroring' }), /^Synced: Mirroring$/],
    ['the first list has not come', linkWith({ ...well, synced: 'False Waiting' }), /^Synced: Waiting$/],
    ['removals are held', linkWith({ ...well, synced: 'False ClusterReplaced' }), /ClusterReplaced/],
    [
      'the gateway has not answered yet',
      linkWith({ ...well, gateway: 'Unknown Waiting' }),
      /GatewayAlive: Waiting/,
    ],
  ];
  for (const [story, link, why] of waiting)
    it(`is waited for while ${story}`, () => {
      const state = linkState(link);
      expect(state.state === 'waiting' && state.why).to.match(why);
    });

  const done: readonly [string, Said, readonly string[]][] = [
    ['all is well', well, []],
    ['it has no gateway', { ...well, gateway: 'Unknown NoGateway' }, []],
    [
      'the gateway is dead',
      { ...well, gateway: 'False ProbesFailed' },
      ['GatewayAlive: ProbesFailed (10.0.0.1: dead)'],
    ],
    // Nothing has failed, but who links should know.
    ['some are refused', { ...well, synced: 'True ImportsRefused' }, ['Synced: ImportsRefused']],
    ['some cannot be mirrored', { ...well, synced: 'False SomeNotMirrored' }, ['Synced: SomeNotMirrored']],
  ];
  for (const [story, said, trouble] of done)
    it(`is as good as it will be when ${story}`, () =>
      expect(linkState(linkWith(said))).to.deep.equal({ state: 'synced', mirrors: 2, trouble }));
});

describe('waiting for a Link', () => {
  /** Waits for Links that are seen one after the other, half a second apart; the last one stays. */
  const wait = async (seen: readonly LinkObject[], replacesCredentials = false) => {
    const clock = new VirtualClock();
    const began = clock.now();
    let asked = 0;
    const shown = new Set<string>();
    const outcome = waitUntilSynced({
      client: { get: () => Promise.resolve(seen[Math.min(asked++, seen.length - 1)] as never) },
      ref: { namespace: 'links', name: 'west' },
      timeoutMs: 20_000,
      replacesCredentials,
      clock,
      onProgress: (text) => void shown.add(text),
    }).then(
      () => ({ after: clock.now() - began, error: '' }),
      (error: unknown) => ({ after: clock.now() - began, error: describeError(error) }),
    );
    await clock.advance(60_000);
    return { ...(await outcome), shown: [...shown] };
  };

  it('ends at once when it is synced, and shows what it waits for until then', async () => {
    const result = await wait([
      linkWith(undefined),
      linkWith({ ...well, synced: 'False Mirroring' }),
      linkWith(well),
    ]);
    expect(result).to.deep.equal({
      after: 1000,
      error: '',
      shown: [
        'waiting for Link links/west: no controller has taken it up yet',
        'waiting for Link links/west: Synced: Mirroring',
      ],
    });
  });

  it('does not believe what is said of credentials that were just replaced', async () => {
    const away = linkWith({ ...well, api: 'False Unreachable' });
    const result = await wait([linkWith(well), linkWith(well), linkWith(well), away], true);
    expect(result.error).to.match(/^\[LINK_NOT_SYNCED\].*APIReachable: Unreachable\./);
    expect((await wait([linkWith(well)], true)).after).to.be.within(7000, 8000);
  });

  it('ends with the reason and the next step after its time', async () => {
    const refused = await wait([linkWith({ ...well, credentials: 'False CredentialsRejected' })]);
    expect(refused.after).to.be.within(20_000, 21_000);
    expect(refused.error).to.equal(
      '[LINK_NOT_SYNCED] Link links/west is applied, but not synced after 20 s: CredentialsValid: CredentialsRejected. Follow the reason in the message (docs/reference/reasons.md); `linkspan check` in the source cluster says more. Nothing needs to be applied again.',
    );
    expect((await wait([linkWith(undefined)])).error).to.match(/no controller.*linkspan install.*--wait 0/);
  });
});

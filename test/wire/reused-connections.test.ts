import { expect } from 'chai';
import { inParallel } from '../../src/base/in-parallel.ts';
import type { TargetSpec } from '../../src/discovery/target-spec.ts';
import type { RouteRules } from '../../src/policy/routes/route-rules.ts';
import type { WireClient } from '../support/wire-client.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';
import { type Heard, WireTarget } from '../support/wire-target.ts';

const PLAIN = 'plain.demo.svc.cluster.local';
const RULED = 'ruled.demo.svc.cluster.local';
const AGAIN = 'that is tried again';
const SLOW = 'that times out';
const SIGNS = 'that signs in';
const AT_ONCE = 8;

/** A request, and what the target does with it. */
interface Kind {
  /** The request line without its target, and the fields. */
  readonly method: string;
  readonly minor?: 0 | 1;
  readonly fields?: readonly string[];
  readonly body?: string;
  /** The client waits for this answer before it sends the body. */
  readonly before?: RegExp;
  /** What the target says when it has the head, and when it has all of it. */
  readonly early?: string;
  readonly answer?: string;
  /** The target ends the connection then. */
  readonly leaves?: true;
  /** The client's connection ends behind it: in a proper way, or half of an answer is out. */
  readonly ends?: 'properly' | 'broken';
  /** It goes on where the answer is put into a framing of ours. */
  readonly goesOnTranslated?: true;
  /** Only with rules. */
  readonly ruled?: true;
  /** The target answers so the first time. */
  readonly first?: string;
}

const answer = (body: string, status = '200 OK', ...fields: readonly string[]) =>
  `HTTP/1.1 ${[status, `content-length: ${body.length}`, ...fields].join('\r\n')}\r\n\r\n${body}`;
const chunks = (trailer = '') => `5\r\nchunk\r\n4;x=y\r\n-two\r\n0\r\n${trailer}\r\n`;
const CHUNKED = 'transfer-encoding: chunked';

const KINDS: Readonly<Record<string, Kind>> = {
  plain: { method: 'GET', answer: answer('plain') },
  'with other fields': {
    method: 'GET',
    fields: ['x-one: 1', 'x-two: 2', 'te: trailers', 'connection: te'],
    answer: answer('fields', '200 OK', 'x-three: 3'),
  },
  'of HTTP/1.0': { method: 'GET', minor: 0, fields: ['connection: keep-alive'], answer: answer('old') },
  HEAD: { method: 'HEAD', answer: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n' },
  'answered in chunks': {
    method: 'GET',
    answer: `HTTP/1.1 200 OK\r\n${CHUNKED}\r\n\r\n${chunks('x-sum: 9\r\n')}`,
  },
  'HEAD, of chunks': { method: 'HEAD', answer: `HTTP/1.1 200 OK\r\n${CHUNKED}\r\n\r\n` },
  'without content': { method: 'DELETE', answer: 'HTTP/1.1 204 No Content\r\n\r\n' },
  'not modified': { method: 'GET', answer: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n' },
  'with a body': { method: 'POST', fields: ['content-length: 4'], body: 'body', answer: answer('took it') },
  'with an empty body': { method: 'POST', fields: ['content-length: 0'], answer: answer('nothing') },
  'with chunks': { method: 'PUT', fields: [CHUNKED], body: chunks(), answer: answer('took them') },
  'with trailers': {
    method: 'PUT',
    fields: [CHUNKED],
    body: chunks('x-sum: 9\r\n'),
    answer: answer('and the sum'),
  },
  'that expects to go on': {
    method: 'POST',
    fields: ['content-length: 4', 'expect: 100-continue'],
    before: /100 Continue\r\n\r\n$/,
    body: 'went',
    early: 'HTTP/1.1 100 Continue\r\n\r\n',
    answer: answer('went on'),
  },
  'that expects to go on, and may not': {
    method: 'POST',
    fields: ['content-length: 4', 'expect: 100-continue'],
    before: /no$/,
    body: 'late',
    early: answer('no', '417 Expectation Failed'),
    ends: 'properly',
  },
  'with hints': {
    method: 'GET',
    answer: `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${answer('hinted')}`,
  },
  'answered early, half of its body sent': {
    method: 'POST',
    fields: ['content-length: 9'],
    body: 'half',
    early: answer('no', '413 Too Large'),
    ends: 'properly',
  },
  'whose upgrade is refused': {
    method: 'GET',
    fields: ['connection: upgrade', 'upgrade: echo'],
    answer: answer('no upgrade', '426 Upgrade Required'),
  },
  [SIGNS]: {
    method: 'GET',
    fields: ['authorization: NTLM abc'],
    answer: answer('more', '401 Unauthorized', 'www-authenticate: NTLM def'),
  },
  'whose answer the target closes behind': {
    method: 'GET',
    answer: answer('bye', '200 OK', 'connection: close'),
    leaves: true,
  },
  'with bytes behind the answer': { method: 'GET', answer: `${answer('good')}bad` },
  'without an answer': {
    method: 'POST',
    fields: ['content-length: 4'],
    body: 'lost',
    answer: '',
    leaves: true,
  },
  'of a failing target': {
    method: 'POST',
    fields: ['content-length: 1'],
    body: '.',
    answer: answer('oh', '500 Oh'),
  },
  'whose answer is none': { method: 'GET', answer: 'HTTP/1.1 what\r\n\r\n' },
  'whose answer is cut': {
    method: 'GET',
    answer: 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf',
    leaves: true,
    ends: 'broken',
  },
  'answered until the end': {
    method: 'GET',
    answer: 'HTTP/1.1 200 OK\r\n\r\nall',
    leaves: true,
    ends: 'properly',
    goesOnTranslated: true,
  },
  'of HTTP/1.0, answered until the end': {
    method: 'GET',
    minor: 0,
    fields: ['connection: keep-alive'],
    answer: 'HTTP/1.1 200 OK\r\n\r\nall',
    leaves: true,
    ends: 'properly',
  },
  'that is the last': {
    method: 'GET',
    fields: ['connection: close'],
    answer: answer('last'),
    ends: 'properly',
  },
  'that cannot be read': { method: 'GET', fields: ['no field'], ends: 'properly' },
  'that is not served': { method: 'CONNECT', ends: 'properly' },
  [AGAIN]: { method: 'GET', first: answer('busy', '503 Busy'), answer: answer('second'), ruled: true },
  [SLOW]: { method: 'GET', answer: '', ruled: true },
};

const NAMES = Object.keys(KINDS);
/** Requests with rules are translated: another path through the gateway. */
const RULES: TargetSpec['requests'] = {
  budget: { ratio: 1, minPerSecond: 1000, ttlMs: 10_000 },
  routes: [
    { ...routeTo(AGAIN), retryable: true },
    { ...routeTo(SLOW), retryable: false, timeoutMs: 500 },
  ],
};

function routeTo(name: string): Pick<RouteRules, 'name' | 'condition' | 'classes'> {
  return { name, condition: { kind: 'path', regex: `/k${NAMES.indexOf(name)}` }, classes: [] };
}

/** What the target got of a request. */
interface Got {
  readonly head: string;
  readonly body: string;
}

/** The head of a request: its path, and the number of its kind. */
const HEAD = /^(\S+) (\/(\w+)\?\S*) HTTP\/1\.[01]\r\n[^]*?\r\n\r\n/;

/**
 * A client's connection, and all that stands for it in the gateway, is used for request after request, and so
 * is each connection to an endpoint. Whatever the one before was, the next has to be served as if it came
 * alone.
 */
describe('A request on a connection that has been used is served as if it came alone', () => {
  const got = new Map<string, Got[]>();
  const read = new WeakMap<Heard, { at: number; early: number }>();
  let target: WireTarget;
  let gateway: WireGateway;

  before(async () => {
    target = await WireTarget.start(onText);
    gateway = await WireGateway.start([
      { ...service(PLAIN, [target.port]), protocol: 'http1' },
      { ...service(RULED, [target.port]), protocol: 'http1', requests: RULES },
    ]);
  });

  after(async () => {
    await gateway.close();
    await target.close();
  });

  function onText(connection: Heard, text: string): void {
    const state = read.get(connection) ?? { at: 0, early: -1 };
    read.set(connection, state);
    for (let rest = text.slice(state.at); ; rest = text.slice(state.at)) {
      const [head, , id = '', nth = ''] = HEAD.exec(rest) ?? [];
      if (head === undefined) return;
      const kind = KINDS[NAMES[Number(nth.slice(1))] ?? ''];
      if (kind === undefined) throw new Error(`nobody asked for ${id}`);
      const body = bodyOf(head, rest.slice(head.length));
      if (kind.early !== undefined && state.early !== state.at) {
        state.early = state.at;
        connection.say(kind.early);
      }
      if (body === undefined) return;
      state.at += head.length + body.length;
      const seen = got.get(id) ?? [];
      got.set(id, [...seen, { head: head.replace(id, '/'), body }]);
      connection.say((seen.length === 0 ? kind.first : undefined) ?? kind.answer ?? '');
      if (kind.leaves === true) connection.socket.end();
    }
  }

  function bodyOf(head: string, rest: string): string | undefined {
    const length = /^content-length: (\d+)/im.exec(head)?.[1];
    if (/^transfer-encoding: chunked/im.test(head))
      return /^(?:[^]*?\r\n)?0\r\n(?:.+\r\n)*\r\n/.exec(rest)?.[0];
    return rest.length < Number(length ?? 0) ? undefined : rest.slice(0, Number(length ?? 0));
  }

  let runs = 0;
  /** A request of that kind. @returns its target beside its text */
  function make(
    name: string,
    to: string,
  ): { id: string; head: string; body: string; kind: Kind; ends: Kind['ends'] } {
    const kind = KINDS[name] as Kind;
    const ends = to === RULED && kind.goesOnTranslated ? undefined : kind.ends;
    const id = `/k${NAMES.indexOf(name)}?${runs++}`;
    const line = `${kind.method} ${kind.method === 'CONNECT' ? 'x:1' : id} HTTP/1.${kind.minor ?? 1}`;
    const head = `${[line, 'host: x', ...(kind.fields ?? [])].join('\r\n')}\r\n\r\n`;
    return { id, head, body: kind.body ?? '', kind, ends };
  }

  type Made = ReturnType<typeof make>;

  async function send(client: WireClient, { head, body, kind }: Made): Promise<void> {
    client.send(head);
    if (kind.before !== undefined) await client.hears(kind.before);
    if (body !== '') client.send(body);
  }

  interface Served {
    readonly answer: string;
    readonly got: readonly Got[];
  }

  const LAST = 'that is the last';

  /** What becomes of a request that is the only one of its connection. */
  async function alone(to: string, name: string): Promise<Served> {
    const client = await gateway.open(to, 'http1');
    const made = make(name, to);
    await send(client, made);
    if (made.ends === undefined) {
      const last = make(LAST, to);
      await client.hears(/[^]/);
      client.send(last.head);
      const text = await client.whole();
      const behind = text.lastIndexOf('HTTP/1.1 200 OK');
      expect(text.slice(behind), name).to.contain('last');
      return { answer: text.slice(0, behind), got: got.get(made.id) ?? [] };
    }
    return { answer: await client.whole(), got: got.get(made.id) ?? [] };
  }

  for (const [what, to] of [
    ['passed on', PLAIN],
    ['translated', RULED],
  ] as const)
    describe(what, () => {
      const served = new Map<string, Served>();
      const kinds = NAMES.filter((name) => to === RULED || KINDS[name]?.ruled !== true);

      before(async () => {
        for (const name of kinds) served.set(name, await alone(to, name));
      });

      const expected = (name: string) => served.get(name) as Served;

      async function pair(first: string, second: string, pipelined: boolean): Promise<void> {
        const story = `${first}, then ${second}${pipelined ? ', in one go' : ''}`;
        const client = await gateway.open(to, 'http1');
        const [one, two, last] = [make(first, to), make(second, to), make(LAST, to)];
        if (pipelined) {
          const sent = two.ends === undefined ? [one, two, last] : [one, two];
          client.send(sent.map(({ head, body }) => head + body).join(''));
        } else {
          await send(client, one);
          if (one.ends === undefined) {
            await until(client, expected(first).answer.length, story);
            await send(client, two);
            if (two.ends === undefined) client.send(last.head);
          } else {
            if (one.ends === 'properly') await until(client, expected(first).answer.length, story);
            client.send(two.head);
          }
        }
        const text = await client.whole();
        const answers = [expected(first).answer];
        if (one.ends === undefined) answers.push(expected(second).answer);
        if (one.ends === undefined && two.ends === undefined) answers.push(expected(LAST).answer);
        const whole = answers.join('');
        // A reset may take from a client what it has not read.
        if (one.ends === 'broken' || two.ends === 'broken')
          expect(whole.startsWith(text), `${story}: ${text}`).to.equal(true);
        else expect(text, story).to.equal(whole);
        expect(got.get(one.id) ?? [], story).to.deep.equal(expected(first).got);
        if (one.ends !== undefined) expect(got.get(two.id), story).to.equal(undefined);
        else if (two.ends !== 'broken')
          expect(got.get(two.id) ?? [], story).to.deep.equal(expected(second).got);
      }

      async function until(client: WireClient, length: number, story: string): Promise<void> {
        try {
          await client.hears(new RegExp(`^[^]{${length}}`));
        } catch (error) {
          throw new Error(story, { cause: error });
        }
      }

      for (const first of kinds) {
        // What follows on the client's own connection has no rules (`PrivateConnection`), as is documented.
        if (to === RULED && first === SIGNS) continue;
        it(`behind a request ${first}`, async () => {
          // Some at a time, so that one that is to time out comes to the target before it does.
          await inParallel(kinds, AT_ONCE, async (second) => {
            await pair(first, second, false);
            const whole = [first, second].every((name) => KINDS[name]?.before === undefined);
            if (whole && make(first, to).ends === undefined) await pair(first, second, true);
          });
        });
      }
    });
});

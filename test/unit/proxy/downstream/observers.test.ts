import { expect } from 'chai';
import { type AccessEntry, NEVER, NO_ACCESS_LOG } from '../../../../src/proxy/downstream/access-log.ts';
import { recordAccess } from '../../../../src/proxy/downstream/access-log.ts';
import { Observers } from '../../../../src/proxy/downstream/observers.ts';
import { internalError } from '../../../../src/proxy/http/failure-boundary.ts';
import { loggedFlow, loggedSession } from '../../../support/logged-flow.ts';

describe('Whoever looks at requests as they end', () => {
  const caught: unknown[] = [];
  const boundary = { caught: (error: unknown) => (caught.push(error), internalError(error)) };

  function watcher(wants: boolean | Error) {
    const entries: AccessEntry[] = [];
    return {
      entries,
      wants: () => {
        if (wants instanceof Error) throw wants;
        return wants;
      },
      record: (entry: AccessEntry) => void entries.push(entry),
    };
  }

  it('costs one call of a function that does nothing while there is nobody, and again when all have left', () => {
    const observers = new Observers(boundary);
    expect(observers.wants).to.equal(NEVER);
    observers.add(NO_ACCESS_LOG);
    expect(observers.wants).to.equal(NEVER);
    const leave = observers.add(watcher(true));
    expect(observers.wants).not.to.equal(NEVER);
    leave();
    expect(observers.wants).to.equal(NEVER);
  });

  it('gets what it wants, and nothing that only others want', () => {
    const observers = new Observers(boundary);
    const [eager, idle] = [watcher(true), watcher(false)];
    observers.add(idle);
    observers.add(eager);
    recordAccess(loggedSession({ accessLog: observers }), loggedFlow({ path: '/a' }), undefined);
    expect(idle.entries).to.have.length(0);
    expect(eager.entries.map(({ path }) => path)).to.deep.equal(['/a']);
  });

  it('fails alone: neither the request nor other observers notice', () => {
    caught.length = 0;
    const observers = new Observers(boundary);
    const others = watcher(true);
    observers.add(watcher(new Error('a mistake')));
    observers.add({
      wants: () => true,
      record: () => {
        throw new Error('another');
      },
    });
    observers.add(others);
    recordAccess(loggedSession({ accessLog: observers }), loggedFlow(), undefined);
    expect(others.entries).to.have.length(1);
    expect(caught.map(String)).to.deep.equal(['Error: a mistake', 'Error: another']);
  });
});

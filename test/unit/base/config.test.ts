import { expect } from 'chai';
import { z } from 'zod';
import { nearest, parseConfig } from '../../../src/base/config.ts';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';

const schema = z.strictObject({
  listen: z.string(),
  probe: z.strictObject({ periodMs: z.number() }).optional(),
  services: z
    .array(z.strictObject({ name: z.string(), endpoints: z.array(z.string()).default([]) }))
    .default([]),
});

function problem(value: unknown): string {
  try {
    parseConfig(schema, value, 'targets.yaml');
  } catch (error) {
    expect(error).to.be.instanceOf(LinkspanError).with.property('code', 'CONFIG_INVALID');
    return (error as Error).message;
  }
  throw new Error('accepted');
}

describe('parseConfig', () => {
  it('returns the parsed value with its defaults', () => {
    expect(parseConfig(schema, { listen: ':1' }, 'flags')).to.deep.equal({ listen: ':1', services: [] });
  });

  it('names the setting that is wrong', () => {
    expect(problem({ listen: 4 })).to.match(/^targets\.yaml: listen: /);
  });

  it('suggests the nearest name for an unknown key, at any depth', () => {
    expect(problem({ listen: ':1', lisen: 1 })).to.contain(
      'unknown setting "lisen" (did you mean "listen"?)',
    );
    expect(problem({ listen: ':1', probe: { periodMs: 1, periodM: 1 } })).to.contain(
      'did you mean "periodMs"?',
    );
    expect(problem({ listen: ':1', services: [{ name: 'a', endpoint: [] }] })).to.contain(
      'services[0]: unknown setting "endpoint" (did you mean "endpoints"?)',
    );
  });

  it('suggests nothing that is not near', () => {
    expect(nearest('zzzzzz', ['listen', 'services'])).to.equal(undefined);
  });
});

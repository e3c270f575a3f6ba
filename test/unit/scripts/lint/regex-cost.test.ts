import { expect } from 'chai';
import { regexProblem } from '../../../../scripts/lint/regex-cost.ts';

const problem = ({ source, flags }: RegExp) => regexProblem(source, flags);

describe('the lint rule for regular expressions', () => {
  // One of these stopped every gateway of a cluster with 6 KB of one header field, the other with an
  // annotation on a tenant's Service.
  const attacked: readonly [string, RegExp][] = [
    ['Forwarded', /^\s*by\s*=\s*"?([^"]*)"?\s*$/i],
    ['linkspan.dev/rate-limit', /^\s*(\d+(?:\.\d+)?)\s*(?:\/\s*([smh]))?(?:\s+burst\s+(\d+))?\s*$/],
  ];
  for (const [where, regex] of attacked)
    it(`refuses what ${where} was read with`, () =>
      expect(problem(regex)).to.contain('more than linear time'));

  const exponential = [
    /(a+)+$/,
    /(a*)*b/,
    /(a|a)*b/,
    /(a|ab?|b)*c$/,
    /(?:a?){30}b/,
    /^(\w+\s?)*$/,
    /(.*)*x/s,
  ];
  for (const regex of exponential)
    it(`refuses ${String(regex)}: exponential`, () => expect(problem(regex)).to.contain('exponential'));

  const polynomial = [
    /\s+$/,
    /\/+$/,
    /^.*a.*b/,
    /.*x/,
    /^\d*\.?\d+$/,
    /^a{0,100}a{0,100}$/,
    /^\s*\S*\s*$/m,
    /^(?:ab|cd)*(?:abcd)*x/,
    /(\d+)(?:ms|s)/g,
    /<!--[\s\S]*?-->/,
    /"((?:[^"\\]|\\.)*)"/,
  ];
  for (const regex of polynomial)
    it(`refuses ${String(regex)}: polynomial`, () =>
      expect(problem(regex)).to.contain('more than linear time'));

  for (const regex of [/(?=a)b/, /(?<!a)b/, /(a)\1/, /\bword\b/])
    it(`refuses ${String(regex)}, which it cannot judge`, () =>
      expect(problem(regex)).to.contain('cannot be judged'));

  const linear = [
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/,
    /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/,
    /\d+/,
    /\s+/g,
    /^\s+/,
    /[\r\n]/,
    /^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$/,
    /(\d+(?:\.\d+)?)(ns|us)/gy,
    /^spiffe:\/\/([^/]*)/i,
    /\d{3} \S+ "((?:[^"\\]|\\.)*)"/,
    /^a*b*c*$/,
    /^(?:a|b)*$/,
    /^\u00b5+$/,
  ];
  for (const regex of linear)
    it(`lets ${String(regex)} pass`, () => expect(problem(regex)).to.equal(undefined));
});

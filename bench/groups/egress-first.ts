/**
 * Loaded first in an egress on Node: tunes V8 as the product does (`EgressProgram` of the tests does not).
 */
import { tuneForTraffic } from '../../src/processes/v8-tuning.ts';

tuneForTraffic();

import { collectDefaultMetrics, Registry } from 'prom-client';

/**
 * A fresh metrics registry with the process's default metrics. One per process, handed down: nothing registers globally.
 * Hot paths count in plain numbers and publish them in a metric's `collect`.
 */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

export { Counter, Gauge, Histogram, Registry } from 'prom-client';

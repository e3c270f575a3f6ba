/** A condition of a Link, as the API server returns it. */
export function condition(type: string, status: 'True' | 'False', reason: string, message = '') {
  return { type, status, reason, message, lastTransitionTime: '2026-11-24T00:00:00Z' };
}

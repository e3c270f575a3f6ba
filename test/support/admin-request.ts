import type { AdminRequest } from '../../src/telemetry/admin-pages.ts';

/** A request to an admin port, from elsewhere and without fields unless it says so. */
export function adminRequest(said: Partial<AdminRequest> = {}): AdminRequest {
  return {
    method: 'GET',
    path: '/',
    acceptEncoding: '',
    local: false,
    body: '',
    header: () => undefined,
    onClose: () => undefined,
    ...said,
  };
}

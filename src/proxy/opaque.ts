import { ProxyFailure } from './failures.ts';
import type { Session } from './session.ts';
import { joinTunnel } from './tunnel.ts';

/** Carries raw bytes: one connection to an endpoint for one of the client. Nothing is read before the endpoint is connected, so a server may speak first. */
export function serveOpaque(session: Session, first: Buffer): void {
  const { client, check, accounts } = session;
  const refusal = check(undefined);
  if (refusal !== undefined) {
    accounts.failure(refusal.kind);
    client.destroy(refusal);
    return;
  }
  client.pause();
  connect(session, first).catch((error: unknown) => {
    if (error instanceof ProxyFailure) accounts.failure(error.kind);
    client.destroy(error as Error);
  });
}

async function connect({ client, target, accounts }: Session, first: Buffer): Promise<void> {
  accounts.request(target.label);
  const { endpoint, connection } = await target.lease(true);
  if (client.closed) {
    endpoint.abandon();
    connection.destroy();
    return;
  }
  // In hand until it ends, so that endpoints with long connections get fewer new ones.
  joinTunnel(client, connection, () => endpoint.succeed(undefined));
  if (first.length > 0 && !connection.send(first)) client.pause();
}

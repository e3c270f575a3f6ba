import type { GatewayTry } from '../api/answers/admin-answers.ts';
import type { MirrorController } from './mirror-controller.ts';

/**
 * Sends one probe now to every address of the gateways of the Links that this replica holds, as far as they
 * are probed.
 */
export async function tryGateways(controller: MirrorController): Promise<GatewayTry[]> {
  const tries = [...controller.runs].map(async ([link, { peer }]) =>
    ((await peer?.gateway?.tryNow()) ?? []).map((one) => ({
      link,
      cluster: peer?.link.targetClusterName ?? '',
      ...one,
    })),
  );
  return (await Promise.all(tries)).flat();
}

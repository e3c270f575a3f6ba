import type { V1Service } from '@kubernetes/client-node';
import { annotatedGateway } from '../../api/exports/export-marks.ts';
import { AnnotatedGateways, type AnnotatedGatewaysOptions } from '../gateway-health/annotated-gateways.ts';
import { GatewayPath } from '../gateway-health/gateway-path.ts';
import { gatewayRefusal, type OwnRanges } from '../imports/remote-addresses.ts';
import { isAnnotated } from '../mirror/selected-exports.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';
import type { Link } from '../../api/link/link-schema.ts';

export interface TargetGatewaysOptions
  extends Omit<AnnotatedGatewaysOptions, 'link' | 'cluster' | 'refusal' | 'onChange' | 'onReason'> {
  readonly link: Link;
  /** The source cluster's own addresses, which no gateway may have. */
  readonly ranges: OwnRanges;
  /** The Link's own gateway has changed. `worse`: some address is gone or dead. */
  readonly onLinkGateway: (worse: boolean) => void;
  /** What is said of an address of the Link's own gateway has changed, and nothing else. */
  readonly onReason: () => void;
  /** The gateway that some exports name has changed. @param keys those exports */
  readonly onExports: (keys: readonly string[], worse: boolean) => void;
}

/** The gateways of one target: the Link's own, and those that exports name by annotation. */
export class TargetGateways {
  readonly #options: TargetGatewaysOptions;
  readonly #annotated: AnnotatedGateways;
  /** The Link's own; undefined: it names none. */
  readonly own: GatewayPath | undefined;

  constructor(options: TargetGatewaysOptions) {
    this.#options = options;
    const { link, ranges, onExports } = options;
    const refusal = (address: string) => gatewayRefusal(address, link.imports, ranges);
    this.#annotated = new AnnotatedGateways({
      ...options,
      cluster: link.targetClusterName,
      refusal,
      onChange: (gateway, worse) => onExports(this.#annotated.users(gateway), worse),
    });
    this.own = ownGateway(options, refusal);
  }

  start(): void {
    this.own?.start();
  }

  /** When it resolves nothing is watched or probed any more. */
  async stop(): Promise<void> {
    this.own?.stop();
    await this.#annotated.stop();
  }

  /** An export is there, has changed or is gone: which gateway it names is followed. */
  exportChanged(key: string, service: V1Service | undefined): void {
    const annotated = service !== undefined && isAnnotated(service, this.#options.link);
    this.#annotated.use(key, annotated ? annotatedGateway(service) : undefined);
  }

  /** The way to an export's Service; undefined: there is none. */
  of(remote: V1Service | undefined): GatewayFacts | undefined {
    const { link } = this.#options;
    const named = remote === undefined || !isAnnotated(remote, link) ? undefined : annotatedGateway(remote);
    if (named === undefined) return this.own?.facts;
    const facts = this.#annotated.facts(named);
    return facts === 'link' ? this.own?.facts : facts;
  }

  /** The source cluster's own ranges have changed: every address is judged anew. */
  recheck(): void {
    this.own?.recheck();
    this.#annotated.recheck();
  }
}

function ownGateway(
  { link, health, names, onLinkGateway, onReason }: TargetGatewaysOptions,
  refusal: (address: string) => string | undefined,
): GatewayPath | undefined {
  const { gateway, targetClusterName: cluster, probe } = link;
  if (gateway === undefined) return undefined;
  const { addresses: hosts, port, identity } = gateway;
  const onChange = onLinkGateway;
  const way = { cluster, hosts, port, identity, probe, own: false };
  return new GatewayPath({ ...way, health, names, refusal, onChange, onReason });
}

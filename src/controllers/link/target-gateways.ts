import type { V1Service } from '@kubernetes/client-node';
import { annotatedGateway } from '../../api/exports/export-marks.ts';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { AnnotatedGateways, type AnnotatedGatewaysOptions } from '../gateway-health/annotated-gateways.ts';
import { GatewayPath } from '../gateway-health/gateway-path.ts';
import { gatewayRefusal, type OwnRanges } from '../imports/remote-addresses.ts';
import { isAnnotated } from '../mirror/selected-exports.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';
import type { Link } from '../../api/link/link-schema.ts';

/** The target's Link, and who hears of its gateways. */
export interface TargetGatewaysOptions
  extends Omit<AnnotatedGatewaysOptions, 'link' | 'cluster' | 'refusal' | 'onChange' | 'onReason'> {
  readonly link: Link;
  /** The source cluster's own addresses, which no gateway may have. */
  readonly ranges: OwnRanges;
  /** The Link's own gateway has changed. `worse`: some address is gone or dead. */
  readonly onLinkGateway: (worse: boolean) => void;
  /** As `GatewayPathOptions.onReason`, of the Link's own gateway. */
  readonly onReason: () => void;
  /** What the Link's own gateway asked for when it was last heard. */
  readonly askedDrain: FailoverDrain | undefined;
  /** The gateway that exports name has changed. @param keys of those exports */
  readonly onExports: (keys: readonly string[], worse: boolean) => void;
}

/** The gateways of one target: the Link's own, and those that exports name by annotation. */
export class TargetGateways {
  readonly #options: TargetGatewaysOptions;
  readonly #annotated: AnnotatedGateways;
  /** The Link's own gateway; undefined: it names none. */
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

  /** When it resolves, nothing is watched or probed any more. */
  async stop(): Promise<void> {
    this.own?.stop();
    await this.#annotated.stop();
  }

  /** An export has come, changed or gone: the gateway that it names is followed. */
  exportChanged(key: string, service: V1Service | undefined): void {
    const annotated = service !== undefined && isAnnotated(service, this.#options.link);
    this.#annotated.use(key, annotated ? annotatedGateway(service) : undefined);
  }

  /** The gateway that an export goes through; undefined: there is none. */
  of(remote: V1Service | undefined): GatewayFacts | undefined {
    const { link } = this.#options;
    const named = remote === undefined || !isAnnotated(remote, link) ? undefined : annotatedGateway(remote);
    if (named === undefined) return this.own?.facts;
    const facts = this.#annotated.facts(named);
    return facts === 'link' ? this.own?.facts : facts;
  }

  /** The source cluster's own ranges have changed: all addresses are checked again. */
  recheck(): void {
    this.own?.recheck();
    this.#annotated.recheck();
  }
}

function ownGateway(
  { link, health, names, clock, trunks, doubts, askedDrain, onLinkGateway, onReason }: TargetGatewaysOptions,
  refusal: (address: string) => string | undefined,
): GatewayPath | undefined {
  const { gateway, targetClusterName: cluster, probe } = link;
  if (gateway === undefined) return undefined;
  const { addresses: hosts, port, identity } = gateway;
  const onChange = onLinkGateway;
  const path = { cluster, hosts, port, identity, probe, own: false };
  const asking = { clock, before: askedDrain, onDrain: onReason };
  return new GatewayPath({ ...path, health, names, trunks, doubts, refusal, onChange, onReason, asking });
}

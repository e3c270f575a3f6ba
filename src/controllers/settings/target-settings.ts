import type { TargetBudgets } from './target-budgets.ts';
import type { Link } from '../../api/link/link-schema.ts';
import type { DropGuardSettings } from '../removals/drop-guard.ts';
import type { DataPath } from '../../api/mirror/mirror-annotations.ts';
import type { LinkFacts } from '../reconcile/mirror-facts.ts';
import type { CopyRules } from '../../api/mirror/mirror-metadata.ts';
import { isSteering } from '../imports/steering.ts';

/** Settings of the controller that hold for every peer; for those without a comment see `LinkFacts`. */
export interface TargetSettings {
  /** Data path of Links that have none of their own. */
  readonly dataPath: DataPath;
  readonly writeEndpoints: boolean;
  readonly flatEndpoints: boolean;
  readonly headless: boolean;
  readonly createNamespaces: boolean;
  /**
   * Whether Linkerd's older annotations export Services too; without them the target filters what is watched.
   */
  readonly annotationExports: boolean;
  /** Which labels and annotations may be copied at all; undefined: all. */
  readonly allowedLabel: ((key: string) => boolean) | undefined;
  readonly allowedAnnotation: ((key: string) => boolean) | undefined;
  /**
   * Whether labels and annotations that give orders to the source cluster's software are copied
   * (`imports/steering.ts`).
   */
  readonly steeringMetadata: boolean;
  /**
   * Namespaces that nothing is mirrored into unless a Link names them, beside those that begin with `kube-`.
   */
  readonly controlNamespaces: ReadonlySet<string>;
  readonly dropGuard: DropGuardSettings;
  /** Most keys of one peer that are reconciled at once. */
  readonly concurrency: number;
  /** As `HostMirrorsOptions.hostGraceMs`. */
  readonly hostGraceMs: number;
  /** What one target may make the controller hold, read and write. */
  readonly budgets: TargetBudgets;
}

/** What the mirrors of a Link depend on: the Link, else the settings. */
export function linkFacts(link: Link, settings: TargetSettings): LinkFacts {
  return {
    cluster: link.targetClusterName,
    link: `${link.namespace}/${link.name}`,
    clusterDomain: link.targetClusterDomain,
    dataPath: link.dataPath ?? settings.dataPath,
    rules: copyRules(settings, link),
    writeEndpoints: settings.writeEndpoints,
    flatEndpoints: settings.flatEndpoints,
    headless: settings.headless,
    createNamespaces: settings.createNamespaces,
  };
}

/**
 * Which labels and annotations are copied: those that the Link's import policy lists, else the controller's
 * allow lists, else all that give no orders to the source cluster's software; without those that the Link
 * excludes.
 */
export function copyRules(
  settings: Pick<TargetSettings, 'allowedLabel' | 'allowedAnnotation' | 'steeringMetadata'>,
  link?: Pick<Link, 'excludedLabel' | 'excludedAnnotation' | 'imports'>,
): CopyRules {
  return {
    excludedLabel: link?.excludedLabel ?? (() => false),
    excludedAnnotation: link?.excludedAnnotation ?? (() => false),
    allowedLabel: link?.imports.label ?? settings.allowedLabel,
    allowedAnnotation: link?.imports.annotation ?? settings.allowedAnnotation,
    steering: settings.steeringMetadata ? undefined : isSteering,
  };
}

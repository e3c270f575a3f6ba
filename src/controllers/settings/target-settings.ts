import type { TargetBudgets } from './target-budgets.ts';
import type { Link } from '../../api/link/link-schema.ts';
import type { DropGuardSettings } from '../removals/drop-guard.ts';
import type { DataPath } from '../../api/mirror/mirror-annotations.ts';
import type { LinkFacts } from '../reconcile/mirror-facts.ts';
import type { CopyRules } from '../../api/mirror/mirror-metadata.ts';
import { isSteering } from '../imports/steering.ts';

/** Settings that hold for every peer. */
export interface TargetSettings {
  /** Data path of Links that do not say it themselves. */
  readonly dataPath: DataPath;
  readonly writeEndpoints: boolean;
  readonly flatEndpoints: boolean;
  readonly headless: boolean;
  readonly createNamespaces: boolean;
  /** Whether the older annotations export too; without them the target filters what is watched. */
  readonly annotationExports: boolean;
  /** Which labels and annotations may be copied at all; undefined: all. */
  readonly allowedLabel: ((key: string) => boolean) | undefined;
  readonly allowedAnnotation: ((key: string) => boolean) | undefined;
  /** Whether labels and annotations that steer the source's own machinery are copied too. */
  readonly steeringMetadata: boolean;
  /**
   * Namespaces that nothing is mirrored into unless a Link names them, beside those that begin with `kube-`.
   */
  readonly controlNamespaces: ReadonlySet<string>;
  readonly dropGuard: DropGuardSettings;
  /** Keys of one peer that are worked on at once: its share of the pool. */
  readonly concurrency: number;
  readonly hostGraceMs: number;
  /** What one target may make the controller hold, read and write. */
  readonly budgets: TargetBudgets;
}

/** What decides about the mirrors of a Link. */
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
 * What may be copied: what a Link's import policy lists, else the controller's allow lists, else all that
 * does not steer the source's machinery; less what the Link excludes.
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

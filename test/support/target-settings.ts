import { TARGET_BUDGETS } from '../../src/controllers/settings/target-budgets.ts';
import type { TargetSettings } from '../../src/controllers/settings/target-settings.ts';

/** Settings of a controller with everything off that can be, but for what is given. */
export function targetSettings(given: Partial<TargetSettings>): TargetSettings {
  return {
    dataPath: 'gateway',
    writeEndpoints: false,
    flatEndpoints: false,
    headless: false,
    createNamespaces: false,
    annotationExports: false,
    steeringMetadata: false,
    controlNamespaces: new Set(),
    allowedLabel: undefined,
    allowedAnnotation: undefined,
    dropGuard: { fraction: 1 },
    concurrency: 8,
    hostGraceMs: 0,
    budgets: TARGET_BUDGETS,
    ...given,
  };
}

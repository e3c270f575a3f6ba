import type { V1Service } from '@kubernetes/client-node';
import type { ExportMode } from '../../api/exports/export-marks.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';
import { federatedName } from '../../api/mirror/federated-members.ts';
import { isHeadless } from '../../exports/endpoint-slices.ts';
import { MAX_SERVICE_NAME } from '../../api/mirror/mirror-names.ts';
import { portsLeftOut } from '../objects/mirrored-ports.ts';
import { unmirrorable } from '../policies/checks.ts';

/** Characters that a name should leave for `-<cluster>`: cluster names are rarely shorter than eight. */
const SUFFIX_ROOM = 9;

/**
 * What would become of an export. `refusal`: why it would never be mirrored; `warnings`: what people should
 * know.
 */
export interface ExportVerdict {
  readonly refusal: string | undefined;
  readonly warnings: readonly string[];
}

/**
 * Checks a Service that is to be exported as the controllers of source clusters will, so that people learn
 * beforehand what those refuse. Pure.
 */
export function exportVerdict(service: V1Service, mode: ExportMode): ExportVerdict {
  const refusal = isMirrored(service)
    ? 'it is itself a mirror; export the Service that it stands for'
    : (unmirrorable(service) ?? federatedRefusal(service, mode));
  return { refusal, warnings: refusal === undefined ? warningsOf(service, mode) : [] };
}

function federatedRefusal(service: V1Service, mode: ExportMode): string | undefined {
  if (mode !== 'federated') return undefined;
  // Linkerd's words, which people search for.
  if (isHeadless(service)) return 'Headless service cannot join federated service';
  const name = federatedName(service.metadata?.name ?? '');
  return name.length > MAX_SERVICE_NAME
    ? `its federated name ${name} has ${name.length} characters, ${MAX_SERVICE_NAME} are allowed`
    : undefined;
}

function warningsOf(service: V1Service, mode: ExportMode): string[] {
  const name = service.metadata?.name ?? '';
  const leftOut = portsLeftOut(service);
  const warnings = leftOut.length === 0 ? [] : [`only TCP is mirrored, left out: ${leftOut.join(', ')}`];
  if (mode !== 'federated' && name.length > MAX_SERVICE_NAME - SUFFIX_ROOM)
    warnings.push(
      `sources whose name for this cluster has more than ${Math.max(0, MAX_SERVICE_NAME - name.length - 1)} characters cannot mirror it (NameTooLong)`,
    );
  if (isHeadless(service))
    warnings.push('it is headless: mirrored as such where the source controller runs with --headless');
  const selector = service.spec?.selector ?? {};
  if (mode === 'flat' && Object.keys(selector).length === 0)
    warnings.push('it has no selector: flat mirrors need endpoints that are pods');
  return warnings;
}

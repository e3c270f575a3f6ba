/** The CustomResourceDefinitions, from src/api/link/link-crd.ts. */
import { stringify } from 'yaml';
import { linkCrd } from '../../src/api/link/link-crd.ts';

/** Where they are: for `kubectl apply -f crds/`, and as a chart. */
export const CRD_FOLDERS = ['crds', 'charts/linkspan-crds/templates'] as const;

/** Files of each of the folders, by name. */
export function crdFiles(): Record<string, string> {
  const header = '# Written by `npm run generate` from src/api/link/link-crd.ts.\n';
  return {
    'links.multicluster.linkerd.io.yaml':
      header + stringify(linkCrd(), { lineWidth: 0, aliasDuplicateObjects: false }),
  };
}

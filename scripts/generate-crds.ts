/** Writes crds/ and the chart linkspan-crds from the code: `npm run generate:crds`. A test compares the two. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { linkCrd } from '../src/link/crd.ts';

/** Where they are: for `kubectl apply -f crds/`, and as a chart. */
export const CRD_FOLDERS = ['../crds', '../charts/linkspan-crds/templates'].map((folder) =>
  path.join(import.meta.dirname, folder),
);

/** Files of crds/ by name. */
export function crdFiles(): Record<string, string> {
  const header = '# Written by `npm run generate:crds` from src/link/crd.ts.\n';
  return {
    'links.multicluster.linkerd.io.yaml':
      header + stringify(linkCrd(), { lineWidth: 0, aliasDuplicateObjects: false }),
  };
}

if (import.meta.main) {
  for (const folder of CRD_FOLDERS) {
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of Object.entries(crdFiles())) writeFileSync(path.join(folder, name), text);
  }
}

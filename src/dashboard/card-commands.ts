import { DEFAULT_NAMESPACE } from '../api/names.ts';
import { THIS_CLUSTER } from '../traffic/cluster-reading.ts';
import type { ContextPicture } from './cluster-facts.ts';
import { commandLine } from './shell-words.ts';

/** Where a command is to look. */
export type Place = Pick<ContextPicture, 'context' | 'namespace'>;

const flag = (name: string, value: string, usual: string) =>
  value === usual || value === '' ? [] : [name, value];

/** A verb of ours for a context. */
function verb({ context, namespace }: Place, ...words: readonly string[]): string {
  const installation = flag('--controller-namespace', namespace, DEFAULT_NAMESPACE);
  return commandLine('linkspan', ...words, ...flag('--context', context, THIS_CLUSTER), ...installation);
}

/** The verb whose flag for the installation is `-n`. */
function ofInstallation({ context, namespace }: Place, ...words: readonly string[]): string {
  const installation = flag('-n', namespace, DEFAULT_NAMESPACE);
  return commandLine('linkspan', ...words, ...flag('--context', context, THIS_CLUSTER), ...installation);
}

function kubectl({ context }: Pick<Place, 'context'>, ...words: readonly string[]): string {
  return commandLine('kubectl', ...words, ...flag('--context', context, THIS_CLUSTER));
}

/** What to type to find out more, or to mend it, by what fails. */
export const commandFor = {
  unreachable: (place: Place) => kubectl(place, 'get', '--raw', '/readyz'),
  forbidden: (place: Place) => kubectl(place, 'auth', 'can-i', 'get', 'pods/proxy', '-n', place.namespace),
  absent: (place: Place) => ofInstallation(place, 'install'),
  link: (place: Place, name: string) => verb(place, 'explain', 'link', name),
  gateway: (place: Place) => verb(place, 'gateways', '-o', 'wide'),
  mirror: (place: Place, namespace: string, name: string) =>
    verb(place, 'explain', 'svc', name, '-n', namespace),
  requests: (place: Place, namespace: string, name: string) =>
    verb(place, 'tap', `svc/${name}`, '-n', namespace, '--failures'),
  silent: (place: Place, pod: string) => kubectl(place, 'describe', 'pod', pod, '-n', place.namespace),
  process: (place: Place) => verb(place, 'proxies', '--failing'),
  certificate: (place: Place) => ofInstallation(place, 'check'),
} as const;

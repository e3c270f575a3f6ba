import { CREATED_BY, EXTENSION_LABELS, EXTENSION_SELECTOR, OURS, PART_OF, PART_OF_LABEL } from './names.ts';

/**
 * Labels and annotations of what Linkspan installs, as the CLI writes them and as it finds it again; those of
 * charts/linkspan say the same (`templates/_helpers.tpl`, and a test compares).
 */
const NAME_LABEL = 'app.kubernetes.io/name';
const INSTANCE_LABEL = 'app.kubernetes.io/instance';
const COMPONENT_LABEL = 'app.kubernetes.io/component';
const VERSION_LABEL = 'app.kubernetes.io/version';
const MANAGED_BY = 'app.kubernetes.io/managed-by';

/** What Linkerd's own manifests call a component. */
const LINKERD_COMPONENT = 'component';
const REMOTE_ACCESS = 'remote-access';

/** As much of an object as is looked at. */
interface Labelled {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>> } | undefined;
}

/** Label that the CLI, and not Helm, manages an object. */
export const MANAGED_BY_CLI: Readonly<Record<string, string>> = { [MANAGED_BY]: PART_OF };

/** Labels of what the CLI applies beside the chart. @param version of the program */
export function installedLabels(version: string): Record<string, string> {
  return { ...EXTENSION_LABELS, [PART_OF_LABEL]: PART_OF, ...MANAGED_BY_CLI, [VERSION_LABEL]: version };
}

/** Labels of accounts for source clusters and of their rights. @param version of the program */
export function remoteAccessLabels(version: string): Record<string, string> {
  return {
    ...EXTENSION_LABELS,
    [LINKERD_COMPONENT]: REMOTE_ACCESS,
    [NAME_LABEL]: PART_OF,
    [COMPONENT_LABEL]: REMOTE_ACCESS,
    // After those by which people look for it: what is printed keeps the order of the chart.
    ...installedLabels(version),
  };
}

/** Selector of them. */
export const REMOTE_ACCESS_SELECTOR = `${LINKERD_COMPONENT}=${REMOTE_ACCESS},${MANAGED_BY}=${PART_OF}`;

/** Selector of what the chart has installed. */
export const CHART_SELECTOR = `${EXTENSION_SELECTOR},${NAME_LABEL}=${PART_OF}`;

/** Selector of a part of what Linkspan has installed, such as `gateway`. */
export function componentSelector(component: string): string {
  return `${OURS},${LINKERD_COMPONENT}=${component}`;
}

/** The annotation that says which version of which program wrote an object. */
export function createdBy(version: string): Record<string, string> {
  return { [CREATED_BY]: `${PART_OF}/cli ${version}` };
}

/** The version of the program that installed an object; undefined where it does not say. */
export function installedVersion(object: Labelled): string | undefined {
  return object.metadata?.labels?.[VERSION_LABEL];
}

/** Which part of the chart an object is, such as `gateway`. */
export function componentOf(object: Labelled): string | undefined {
  return object.metadata?.labels?.[COMPONENT_LABEL];
}

/** What Linkerd's manifests and ours both say of it. */
export function linkerdComponentOf(object: Labelled): string | undefined {
  return object.metadata?.labels?.[LINKERD_COMPONENT];
}

/** Whether an object is of an installation of the chart, by Helm or by the CLI. */
export function isOfChart({ metadata }: Labelled): boolean {
  const { labels = {} } = metadata ?? {};
  return labels[INSTANCE_LABEL] !== undefined && labels[NAME_LABEL] === PART_OF;
}

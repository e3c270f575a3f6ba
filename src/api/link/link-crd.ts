import { LINK_CONDITIONS, type LinkConditionType } from './link-status.ts';
import { EXTENSION_LABELS } from '../names.ts';
import { LINK_CRD, LINK_GROUP } from './link-schema.ts';

/** JSON Schema as CustomResourceDefinitions hold it. */
type Schema = Record<string, unknown>;

const string = (description: string, more: Schema = {}): Schema => ({ type: 'string', description, ...more });
const strings = (description: string): Schema => ({ type: 'array', description, items: { type: 'string' } });

/**
 * Which of Linkerd's fields a version has (linkerd2
 * `multicluster/charts/linkerd-multicluster/templates/link-crd.yaml`).
 */
interface Version {
  readonly name: 'v1alpha1' | 'v1alpha2' | 'v1alpha3';
  readonly federated: boolean;
  readonly exclusions: boolean;
  readonly status: boolean;
  readonly storage: boolean;
}

const VERSIONS: readonly Version[] = [
  { name: 'v1alpha1', federated: false, exclusions: false, status: false, storage: false },
  { name: 'v1alpha2', federated: true, exclusions: false, status: true, storage: false },
  { name: 'v1alpha3', federated: true, exclusions: true, status: true, storage: true },
];

/**
 * The CustomResourceDefinition `links.multicluster.linkerd.io`; `crds/` holds it as YAML and a test compares
 * the two.
 */
export function linkCrd(): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: LINK_CRD,
      labels: EXTENSION_LABELS,
    },
    spec: {
      group: LINK_GROUP,
      scope: 'Namespaced',
      names: { plural: 'links', singular: 'link', kind: 'Link', listKind: 'LinkList' },
      versions: VERSIONS.map(versionSchema),
    },
  };
}

function versionSchema(version: Version): Schema {
  return {
    name: version.name,
    served: true,
    storage: version.storage,
    schema: {
      openAPIV3Schema: {
        type: 'object',
        properties: {
          apiVersion: string('Version of the schema of this object.'),
          kind: string('Kind of this object: Link.'),
          metadata: { type: 'object' },
          spec: {
            type: 'object',
            description: 'How to reach one target cluster.',
            properties: specProperties(version),
          },
          ...(version.status ? { status: statusSchema() } : {}),
        },
      },
    },
    ...(version.status ? { subresources: { status: {} } } : {}),
    additionalPrinterColumns: printerColumns(version),
  };
}

function specProperties(version: Version): Schema {
  return {
    targetClusterName: string('Name of the target cluster; suffix of the names of its mirrors.'),
    targetClusterDomain: string('DNS domain of the target cluster, for example cluster.local.'),
    targetClusterLinkerdNamespace: string("Namespace of Linkerd's control plane in the target cluster."),
    clusterCredentialsSecret: string(
      'Secret in the namespace of the Link that holds a kubeconfig of the target cluster.',
    ),
    gatewayAddress: string(
      "Comma-separated IP addresses or host names of the target cluster's gateway; empty: no gateway.",
    ),
    gatewayPort: string('Port of the gateway.'),
    gatewayIdentity: string('TLS identity that the gateway must prove.'),
    probeSpec: probeSchema(version),
    selector: selectorSchema('Services that are mirrored through the gateway; empty selects none.'),
    remoteDiscoverySelector: selectorSchema(
      'Services whose pods are reached directly (flat network); empty selects none.',
    ),
    ...(version.federated
      ? {
          federatedServiceSelector: selectorSchema(
            'Services that join <name>-federated; empty selects none.',
          ),
        }
      : {}),
    ...(version.exclusions
      ? {
          excludedAnnotations: strings('Annotations that mirrors do not get: keys, or <group>/*.'),
          excludedLabels: strings('Labels that mirrors do not get: keys, or <group>/*.'),
        }
      : {}),
  };
}

function probeSchema(version: Version): Schema {
  return {
    type: 'object',
    description: 'How the gateway is probed.',
    properties: {
      path: string('HTTP path; empty: no probing.'),
      port: string('Port that answers probes.'),
      period: string('Time between probes.', version.federated ? { format: 'duration' } : {}),
      timeout: string('Time after which a probe has failed.', { format: 'duration', default: '30s' }),
      failureThreshold: string('Failures in a row after which the gateway counts as dead.', { default: '3' }),
    },
  };
}

function selectorSchema(description: string): Schema {
  return {
    type: 'object',
    description,
    properties: {
      matchLabels: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      matchExpressions: {
        type: 'array',
        items: {
          type: 'object',
          required: ['key', 'operator'],
          properties: {
            key: string('Label key.'),
            operator: string('Relation of the key to the values.', {
              enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'],
            }),
            values: strings('Values for In and NotIn.'),
          },
        },
      },
    },
  };
}

function statusSchema(): Schema {
  return {
    type: 'object',
    description: 'What the controller knows about the target cluster and its mirrors.',
    properties: {
      conditions: {
        type: 'array',
        description: `Conditions of the Link: ${LINK_CONDITIONS.join(', ')}.`,
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['type'],
        items: conditionSchema(),
      },
      mirrorCount: { type: 'integer', description: 'Mirrors that exist for this Link.' },
      targetClusterUID: string(
        "UID of the target's default/kubernetes Service; a rebuilt cluster has another.",
      ),
      gatewayDrain: string(
        "The drain that the target's gateway asks for, as in the annotation linkspan.dev/drain; empty: none.",
      ),
      mirrorServices: {
        type: 'array',
        description: 'State of each mirror, those in trouble first; at most 500.',
        items: serviceStatusSchema(),
      },
      federatedServices: {
        type: 'array',
        description: 'State of each federated membership, those in trouble first; at most 500.',
        items: serviceStatusSchema(),
      },
    },
  };
}

function serviceStatusSchema(): Schema {
  const ref = (what: string, required: string[]): Schema => ({
    type: 'object',
    description: what,
    required,
    properties: {
      group: string('API group.', { default: 'core' }),
      kind: string('Kind.', { default: 'Service' }),
      name: string('Name.'),
      namespace: string('Namespace.'),
    },
  });
  return {
    type: 'object',
    required: ['controllerName', 'remoteRef'],
    properties: {
      controllerName: string('Who writes this entry.'),
      remoteRef: ref('The Service in the target cluster.', ['name', 'namespace']),
      conditions: { type: 'array', items: { type: 'object', properties: serviceConditionProperties() } },
    },
  };
}

function serviceConditionProperties(): Schema {
  return {
    ...(conditionSchema()['properties'] as Schema),
    localRef: {
      type: 'object',
      properties: {
        group: string('API group.', { default: 'core' }),
        kind: string('Kind.', { default: 'Service' }),
        name: string('Name.'),
        namespace: string('Namespace.'),
      },
      required: ['name', 'namespace'],
    },
  };
}

function conditionSchema(): Schema {
  return {
    type: 'object',
    required: ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
    properties: {
      type: string('Kind of condition.'),
      status: string('True, False or Unknown.', { enum: ['True', 'False', 'Unknown'] }),
      reason: string('One word that says why; documented in docs/reference/reasons.md.'),
      message: string('A sentence for people.'),
      lastTransitionTime: string('When the status last changed.', { format: 'date-time' }),
      observedGeneration: {
        type: 'integer',
        format: 'int64',
        description: 'metadata.generation that this was decided for.',
      },
    },
  };
}

function printerColumns(version: Version): Schema[] {
  const column = (name: string, jsonPath: string, type = 'string'): Schema => ({ name, type, jsonPath });
  const condition = (name: string, type: LinkConditionType, more: Schema = {}): Schema => ({
    ...column(name, `.status.conditions[?(@.type=="${type}")].status`),
    ...more,
  });
  const conditions = version.status
    ? [
        // Shown with -o wide: bad credentials show as an unknown API anyway.
        condition('Credentials', 'CredentialsValid', { priority: 1 }),
        condition('API', 'APIReachable'),
        condition('Gateway Alive', 'GatewayAlive'),
        condition('Synced', 'Synced'),
        column('Mirrors', '.status.mirrorCount', 'integer'),
      ]
    : [];
  return [
    column('Cluster', '.spec.targetClusterName'),
    column('Gateway', '.spec.gatewayAddress'),
    ...conditions,
    column('Age', '.metadata.creationTimestamp', 'date'),
  ];
}

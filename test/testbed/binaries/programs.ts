/**
 * The one list of programs that the demo, the tests and the benchmarks run: where each can come from, and who
 * needs it. Whatever is not here is not there either: tests run with a PATH that holds these programs only
 * (`systemPath`), and ask for built ones by a name of this list.
 */
import path from 'node:path';

/** The Kubernetes version of the pinned Go module, and of the controller manager's release. */
export const KUBERNETES_VERSION = 'v1.34.2';
/** The Kubernetes version of the archives in archives.ts: the newest that envtest has of the same minor. */
export const ENVTEST_VERSION = 'v1.34.1';

const [major, minor] = KUBERNETES_VERSION.slice(1).split('.');
const modules = path.dirname(import.meta.dirname);

/** A Go module in the testbed's folder whose programs are built and cached together. */
export interface GoModule {
  readonly directory: string;
  readonly ldflags: string;
  /** What the programs are made of; the cache's folder is named after it. */
  readonly sources: readonly string[];
}

export const kubernetes: GoModule = {
  directory: path.join(modules, 'go'),
  sources: ['go.mod', 'go.sum', 'etcd/main.go', 'loopback/main.go'],
  ldflags: [
    '-s -w',
    `-X k8s.io/component-base/version.gitVersion=${KUBERNETES_VERSION}`,
    `-X k8s.io/component-base/version.gitMajor=${major}`,
    `-X k8s.io/component-base/version.gitMinor=${minor}`,
    '-X k8s.io/component-base/version.gitTreeState=clean',
    '-X k8s.io/component-base/version.buildDate=1970-01-01T00:00:00Z',
    `-X k8s.io/client-go/pkg/version.gitVersion=${KUBERNETES_VERSION}`,
  ].join(' '),
};

/** On its own: it needs other versions of what Kubernetes needs too. */
const helm: GoModule = {
  directory: path.join(modules, 'helm'),
  sources: ['go.mod', 'go.sum'],
  ldflags: [
    '-s -w',
    // What `helm template` takes for the cluster's version.
    ...['chartutil', 'lint/rules'].flatMap((part) => [
      `-X helm.sh/helm/v3/pkg/${part}.k8sVersionMajor=${major}`,
      `-X helm.sh/helm/v3/pkg/${part}.k8sVersionMinor=${minor}`,
    ]),
  ].join(' '),
};

/**
 * Linkerd's own programs, for tests of what they make of our objects: the newest version of its module that
 * the Go module proxy gives out (edge-23.4.3 and a few commits).
 */
const linkerd: GoModule = {
  directory: path.join(modules, 'linkerd'),
  sources: ['go.mod', 'go.sum'],
  ldflags: '-s -w',
};

/**
 * Go's own HTTP/2 and gRPC as clients and servers, in one small program of ours: what many applications are
 * made of.
 */
const peers: GoModule = {
  directory: path.join(modules, 'peers'),
  sources: ['go.mod', 'go.sum', 'main.go', 'count.go', 'http.go', 'grpc.go'],
  ldflags: '-s -w',
};

/** OpenTelemetry's collector, with what tests of traces need of it. */
const collector: GoModule = {
  directory: path.join(modules, 'collector'),
  sources: ['go.mod', 'go.sum', 'main.go'],
  ldflags: '-s -w',
};

/** How a program can be had; several ways are tried in this order: archive, release, build. */
export interface Program {
  readonly module: GoModule;
  /** The Go package that makes it. */
  readonly package: string;
  /**
   * `archive`: envtest's archive (archives.ts). `release`: the Kubernetes release's own file with its
   * published sum.
   */
  readonly download?: 'archive' | 'release';
  /** What a person can do who has neither Go nor a way out; default: KUBEBUILDER_ASSETS. */
  readonly otherwise?: string;
}

export const programs = {
  etcd: { module: kubernetes, package: './etcd', download: 'archive' },
  'kube-apiserver': {
    module: kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-apiserver',
    download: 'archive',
  },
  kubectl: { module: kubernetes, package: 'k8s.io/kubernetes/cmd/kubectl', download: 'archive' },
  'kube-controller-manager': {
    module: kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-controller-manager',
    download: 'release',
  },
  /** Puts addresses on lo where there is no `ip`. */
  loopback: { module: kubernetes, package: './loopback', otherwise: 'install iproute2 (the `ip` command)' },
  helm: {
    module: helm,
    package: 'helm.sh/helm/v3/cmd/helm',
    otherwise: 'put helm 3.19 into the directory that KUBEBUILDER_ASSETS names',
  },
  linkerd: { module: linkerd, package: 'github.com/linkerd/linkerd2/cli' },
  /** The mirror controller and the destination service, by their first argument. */
  'linkerd-controller': { module: linkerd, package: 'github.com/linkerd/linkerd2/controller/cmd' },
  /** Asks the destination service as a proxy does and prints what it says. */
  'linkerd-destination-client': {
    module: linkerd,
    package: 'github.com/linkerd/linkerd2/controller/script/destination-client',
  },
  'go-peers': { module: peers, package: '.' },
  'otel-collector': { module: collector, package: '.' },
} as const satisfies Record<string, Program>;

export type BinaryName = keyof typeof programs;

/**
 * Programs that no Go module makes and no archive here has, each with the package that brings it (Debian,
 * Ubuntu). The machine has them or not; tests that need them are left out by name where it does not. CI tries
 * to install them.
 */
export const MACHINE_PROGRAMS = {
  nghttpd: 'nghttp2-server',
  h2load: 'nghttp2-client',
  /** A Python that has grpcio: that of Debian's package, or any `python3` on the PATH with PyPI's. */
  'python3-grpcio': 'python3-grpcio',
  prometheus: 'prometheus',
  promtool: 'prometheus',
  'chromium-headless-shell': 'chromium-headless-shell',
} as const satisfies Record<string, string>;

export type MachineProgram = keyof typeof MACHINE_PROGRAMS;

/** Programs that may be missing, and the test files that are left out, by name, where they are. */
export interface OptionalNeed {
  /** What people call them. */
  readonly title: string;
  readonly programs: readonly BinaryName[];
  /** Of the machine; default none. */
  readonly machine?: readonly MachineProgram[];
  /**
   * Paths from the checkout's root; only where one of them runs is it asked whether the programs are there.
   */
  readonly files: readonly string[];
}

export const LINKERD = {
  title: "Linkerd's own programs",
  programs: ['linkerd', 'linkerd-controller', 'linkerd-destination-client'],
  files: ['test/integration/linkerd-programs.test.ts'],
} as const satisfies OptionalNeed;

export const PEERS = {
  title: "Go's HTTP/2 and gRPC",
  programs: ['go-peers'],
  files: ['test/wire/go-peers.test.ts', 'test/wire/go-grpc.test.ts'],
} as const satisfies OptionalNeed;

export const COLLECTOR = {
  title: "OpenTelemetry's collector, and Prometheus",
  programs: ['otel-collector'],
  machine: ['prometheus'],
  files: ['test/wire/otel-collector.test.ts'],
} as const satisfies OptionalNeed;

export const NGHTTP2 = {
  title: "nghttp2's nghttpd and h2load",
  programs: [],
  machine: ['nghttpd', 'h2load'],
  files: ['test/wire/nghttp2-peers.test.ts'],
} as const satisfies OptionalNeed;

export const GRPCIO = {
  title: 'grpcio (C-core)',
  programs: [],
  machine: ['python3-grpcio'],
  files: ['test/wire/grpcio-peers.test.ts'],
} as const satisfies OptionalNeed;

export const PROMETHEUS = {
  title: 'Prometheus and promtool',
  programs: [],
  machine: ['prometheus', 'promtool'],
  files: ['test/unit/repo/firing-alerts.test.ts', 'test/integration/monitoring.test.ts'],
} as const satisfies OptionalNeed;

export const CHROMIUM = {
  title: 'Chromium without a screen',
  programs: [],
  machine: ['chromium-headless-shell'],
  files: [
    'test/integration/dashboard-page.test.ts',
    'test/integration/dashboard-page-use.test.ts',
    'test/wire/dashboard-page.test.ts',
  ],
} as const satisfies OptionalNeed;

/** Who needs what. */
export const NEEDS = {
  /** The demo does itself what a controller manager would. */
  demo: ['etcd', 'kube-apiserver', 'kubectl'],
  /** Benchmarks on control planes, and commands run by `test/testbed/run.ts`. */
  controlPlane: ['etcd', 'kube-apiserver', 'kubectl', 'kube-controller-manager'],
  /** `npm test`, without what is optional. */
  tests: ['etcd', 'kube-apiserver', 'kubectl', 'kube-controller-manager', 'helm'],
} as const satisfies Record<string, readonly BinaryName[]>;

/** What may be missing without a failure, as long as the run says so. */
export const OPTIONAL: readonly OptionalNeed[] = [
  PEERS,
  COLLECTOR,
  NGHTTP2,
  GRPCIO,
  PROMETHEUS,
  CHROMIUM,
  LINKERD,
];

/** What some test files need of it. @param files paths from the checkout's root */
export function optionalNeedsOf(files: readonly string[]): OptionalNeed[] {
  return OPTIONAL.filter((need) => need.files.some((file) => files.includes(file)));
}

/** Programs of the machine that tests and testbed start by name. The first ones they cannot do without. */
export const SYSTEM_PROGRAMS = {
  required: ['sh', 'env', 'git', 'unshare', 'true'],
  /**
   * `ip` puts addresses on lo (else `loopback`); the others make the unit tests' programs of shell scripts,
   * and stand in the commands of guides that are run.
   */
  used: ['ip', 'nsenter', 'sleep', 'chmod', 'cat', 'bash', 'grep'],
} as const;

/**
 * Where etcd, kube-apiserver and kubectl can be downloaded: the archives that controller-tools publishes for
 * envtest, with the SHA-512 of its envtest-releases.yaml at 434758187dddcaf646276fbe2c2ba40ff4e859d5; and the
 * Kubernetes release's own files, whose sums are published beside them.
 */
import { ENVTEST_VERSION, KUBERNETES_VERSION } from './programs.ts';

/** A file on a server and what it must be. */
export interface RemoteFile {
  readonly url: string;
  /** SHA-512 in hex, or where it is published. */
  readonly sha512: string | { readonly url: string };
}

const SHA512: Readonly<Record<string, string>> = {
  'linux-x64':
    'c5e7c237ae18a8c65d0df1214b864ecd19aa9ff4f1383dbd477c202546d778c0f74efe15750ec38f57d8de26ba17cd62f404446cdd3c975399a5d4589de35cdd',
  'linux-arm64':
    'bf13d2456183e66d084e28e1c9eed6a408fb77a06d8d1fd0461a7d9bc0c90b63d29ea67870b28f80d1f992acb026007d6f43987753c859c81d6a78bc1ca2c903',
};
const GO_ARCH: Readonly<Record<string, string>> = {
  'linux-x64': 'linux-amd64',
  'linux-arm64': 'linux-arm64',
};

/** What can be downloaded for a platform; nothing for platforms that the testbed does not run on. */
export interface Downloads {
  /** Holds controller-tools/envtest/{etcd,kube-apiserver,kubectl}. */
  readonly archive: RemoteFile;
  /** A program of the Kubernetes release, as it is. */
  release(program: string): RemoteFile;
}

/** `platform` as `${process.platform}-${process.arch}`. */
export function downloadsFor(platform = `${process.platform}-${process.arch}`): Downloads | undefined {
  const [sum, arch] = [SHA512[platform], GO_ARCH[platform]];
  if (sum === undefined || arch === undefined) return undefined;
  const envtest = 'https://github.com/kubernetes-sigs/controller-tools/releases/download';
  const release = `https://dl.k8s.io/release/${KUBERNETES_VERSION}/bin/${arch.replace('-', '/')}`;
  return {
    archive: {
      url: `${envtest}/envtest-${ENVTEST_VERSION}/envtest-${ENVTEST_VERSION}-${arch}.tar.gz`,
      sha512: sum,
    },
    release: (program) => ({
      url: `${release}/${program}`,
      sha512: { url: `${release}/${program}.sha512` },
    }),
  };
}

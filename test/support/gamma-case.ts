/** How one of Gateway API's conformance tests for meshes is written down. */

/** Fields of a request or an answer. */
export type Fields = Readonly<Record<string, string>>;

/** One request, and what has to become of it; what is not said of it is of no interest, and 200 is usual. */
export interface Case {
  readonly path: string;
  readonly headers?: Fields;
  /** Default: `echo`. */
  readonly host?: string;
  readonly port?: number;
  readonly status?: number;
  readonly backend?: string;
  /** What the backend gets. */
  readonly seen?: { readonly path?: string; readonly headers?: Fields; readonly absent?: readonly string[] };
  /** Of the answer. */
  readonly answer?: { readonly headers?: Fields; readonly absent?: readonly string[] };
  /** Parts of the place that a redirect names; those that are left out are the request's. */
  readonly redirected?: Redirected | undefined;
}

/** A place. */
export interface Redirected {
  readonly protocol?: string;
  readonly host?: string;
  readonly port?: string;
  readonly path?: string;
}

/** A file of `conformance/tests/mesh` of `sigs.k8s.io/gateway-api/conformance` v1.6.3. */
export interface Ported {
  readonly file: string;
  readonly rules: readonly object[];
  /** Default: `echo`. */
  readonly parent?: { readonly name: string; readonly port?: number };
  readonly namespace?: string;
  /** Namespace of those who ask; undefined: another cluster. */
  readonly clientNamespace?: string;
  readonly cases: readonly Case[];
}

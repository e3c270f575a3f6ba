/** What came of one try to reach an address of a gateway, made because somebody asked (`GET /try`). */
export interface GatewayTry {
  readonly ok: boolean;
  /** Why it failed; empty otherwise. */
  readonly message: string;
  readonly latencyMs: number;
}

/** One probe of an address. */
export interface AddressTry extends GatewayTry {
  readonly address: string;
}

/** The same as a controller's `GET /try` lists it. */
export interface ControllerTry extends AddressTry {
  /** `namespace/name`. */
  readonly link: string;
  readonly cluster: string;
}

/** One connection with mTLS, as flows have them: what an egress' `GET /try` lists. */
export interface EgressTry extends GatewayTry {
  /** `host:port`. */
  readonly gateway: string;
  /** That it had to prove. */
  readonly identity: string;
}

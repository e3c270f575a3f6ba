import { CLIENT_ID, DST_CANONICAL } from '../api/linkerd/proxy-fields.ts';
import { type Field, makeField } from '../proxy/http/fields.ts';
import type { HeadRules } from '../proxy/http/forwarding.ts';
import { forwardedElement } from './authorization/forwarded.ts';

/** Who asks whom through which gateway. */
export interface ForwardedRequest {
  /** The gateway's identity. */
  readonly own: string;
  /** The client's identity. */
  readonly client: string;
  /** `name:port` of the service. */
  readonly label: string;
}

/**
 * How a gateway changes the heads of requests. What it adds is made for the first of them: a raw connection
 * has none.
 */
export class GatewayHeadRules implements HeadRules {
  readonly host: string;
  readonly #request: ForwardedRequest;
  #added: readonly Field[] | undefined;

  /** @param host replaces the Host field */
  constructor(request: ForwardedRequest, host: string) {
    this.#request = request;
    this.host = host;
  }

  get added(): readonly Field[] {
    return (this.#added ??= addedFields(this.#request));
  }
}

function addedFields({ own, client, label }: ForwardedRequest): readonly Field[] {
  return [
    makeField('forwarded', forwardedElement(own, client, label)),
    makeField(CLIENT_ID, client),
    makeField(DST_CANONICAL, label),
  ];
}

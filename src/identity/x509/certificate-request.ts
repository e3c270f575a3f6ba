import { generateKeyPairSync, sign } from 'node:crypto';
import { encodeElement, TAG_BOOLEAN, TAG_OCTET_STRING, TAG_OID, TAG_SEQUENCE } from './der.ts';

/** A new private key and the request (PKCS#10) for its certificate. */
export interface CertificateRequest {
  /** PEM, PKCS#8, ECDSA P-256. */
  readonly key: string;
  readonly der: Buffer;
}

const TAG_INTEGER = 0x02;
const TAG_BIT_STRING = 0x03;
const TAG_SET = 0x31;
const TAG_ATTRIBUTES = 0xa0;
const TAG_DNS_NAME = 0x82;
/** 1.2.840.10045.4.3.2, ecdsa-with-SHA256 */
const ECDSA_WITH_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/** 1.2.840.113549.1.9.14, the attribute that holds the extensions a request asks for */
const EXTENSION_REQUEST = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/** 2.5.29.17 */
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];

/**
 * Makes a new P-256 key and a request with an empty subject and one DNS SAN, the identity: what Linkerd's
 * identity service and our signer accept (linkerd2 pkg/identity/service.go, `checkCSR`). Written here byte by
 * byte, because the ASN.1 library costs a gateway 48 MB of memory for these 250 bytes (ADR 0014).
 * @param identity a DNS-like identity (`identityName`)
 */
export function makeCertificateRequest(identity: string): CertificateRequest {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const names = encodeElement(
    TAG_SEQUENCE,
    encodeElement(TAG_DNS_NAME, Buffer.from(identity.toLowerCase(), 'latin1')),
  );
  const extension = encodeElement(
    TAG_SEQUENCE,
    oid(SUBJECT_ALT_NAME),
    // Critical, as the subject is empty (RFC 5280 section 4.2.1.6).
    encodeElement(TAG_BOOLEAN, Buffer.from([0xff])),
    encodeElement(TAG_OCTET_STRING, names),
  );
  const attribute = encodeElement(
    TAG_SEQUENCE,
    oid(EXTENSION_REQUEST),
    encodeElement(TAG_SET, encodeElement(TAG_SEQUENCE, extension)),
  );
  const info = encodeElement(
    TAG_SEQUENCE,
    encodeElement(TAG_INTEGER, Buffer.from([0])),
    encodeElement(TAG_SEQUENCE),
    pair.publicKey.export({ format: 'der', type: 'spki' }),
    encodeElement(TAG_ATTRIBUTES, attribute),
  );
  const signature = sign('sha256', info, pair.privateKey);
  return {
    key: pair.privateKey.export({ format: 'pem', type: 'pkcs8' }),
    der: encodeElement(
      TAG_SEQUENCE,
      info,
      encodeElement(TAG_SEQUENCE, oid(ECDSA_WITH_SHA256)),
      encodeElement(TAG_BIT_STRING, Buffer.from([0]), signature),
    ),
  };
}

function oid(content: readonly number[]): Buffer {
  return encodeElement(TAG_OID, Buffer.from(content));
}

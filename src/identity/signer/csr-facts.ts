// The decorators of @peculiar/x509's dependency tsyringe need the Reflect metadata API to be there first.
import 'reflect-metadata';
import type { webcrypto } from 'node:crypto';
import type { V1CertificateSigningRequest } from '@kubernetes/client-node';
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from '@peculiar/x509';
import { readElement, readElements } from '../x509/der.ts';
import type { CsrFacts, RequestFacts } from './csr-approval.ts';

/** The facts that are decided on, and the key to be certified. */
export interface ReadCsr {
  readonly facts: CsrFacts;
  /** Undefined when the request does not parse. */
  readonly publicKey: webcrypto.CryptoKey | undefined;
}

const SUBJECT_ALT_NAME = '2.5.29.17';
const BLOCK =
  /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/;

/** Reads a CertificateSigningRequest. Never fails: what does not parse is a fact too. */
export async function readCsr(csr: V1CertificateSigningRequest): Promise<ReadCsr> {
  const { username = '', usages = [], expirationSeconds, request } = csr.spec;
  const spec = { username, usages, expirationSeconds };
  try {
    const parsed = new Pkcs10CertificateRequest(derOf(Buffer.from(request, 'base64').toString('latin1')));
    const facts = await factsOf(parsed);
    const publicKey = facts.key === 'P-256' ? await parsed.publicKey.export() : undefined;
    return { facts: { ...spec, request: facts }, publicKey };
  } catch {
    return { facts: { ...spec, request: undefined }, publicKey: undefined };
  }
}

function derOf(text: string): Buffer<ArrayBuffer> {
  const base64 = BLOCK.exec(text)?.[1];
  if (base64 === undefined) throw new Error('not one PEM block');
  const der = Buffer.from(base64, 'base64');
  // The library tolerates trailing bytes and slightly wrong lengths, so the element must fill the bytes
  // exactly.
  const whole = readElement(der, 0, der.length);
  if (whole?.end !== der.length || readElements(der, whole.start, whole.end)?.length !== 3) {
    throw new Error('not one DER element of three parts');
  }
  return der;
}

async function factsOf(request: Pkcs10CertificateRequest): Promise<RequestFacts> {
  const names = request.getExtensions(SUBJECT_ALT_NAME).flatMap((extension) => {
    if (!(extension instanceof SubjectAlternativeNameExtension)) throw new Error('unreadable names');
    return extension.names.items;
  });
  const { algorithm } = request.publicKey;
  const curve = (algorithm as { namedCurve?: string }).namedCurve;
  return {
    subject: request.subjectName
      .toJSON()
      .flatMap((part) =>
        Object.entries(part).flatMap(([type, values]) => values.map((value) => ({ type, value }))),
      ),
    dnsNames: names.filter(({ type }) => type === 'dns').map(({ value }) => value),
    otherNames: names.filter(({ type }) => type !== 'dns').map(({ type }) => type),
    key: curve ?? algorithm.name,
    proven: await request.verify().catch(() => false),
  };
}

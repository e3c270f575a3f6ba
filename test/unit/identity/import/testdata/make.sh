#!/usr/bin/env bash
# The files here, as a company's CA hands them out, made once with OpenSSL 3.0 (`./make.sh`); the tests need no OpenSSL. The keys are
# nobody's. Every password is `secret`, but for those named in a file's name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
rm -f -- *.p12 *.pem
tmp="$(mktemp -d)"
trap 'rm -rf "$tmp"' EXIT
ca='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash'
key() { openssl genpkey -quiet -algorithm "$2" -pkeyopt "$3" -out "$tmp/$1.key" 2>/dev/null || openssl genpkey -algorithm "$2" -pkeyopt "$3" -out "$tmp/$1.key" 2>/dev/null; }
# Valid from 2020 to 2120, whenever and wherever the tests run.
sign() { # name, flags of `openssl ca`
  openssl req -new -key "$tmp/$1.key" -subj "/O=Company/CN=$1" -out "$tmp/$1.csr"
  : >"$tmp/index"
  printf '%s\n' '[ca]' 'default_ca=d' '[d]' "database=$tmp/index" "new_certs_dir=$tmp" 'rand_serial=yes' 'default_md=sha256' \
    'policy=p' 'x509_extensions=x' '[p]' 'organizationName=supplied' 'commonName=supplied' '[x]' "$ca" >"$tmp/config"
  openssl ca -batch -notext -config "$tmp/config" -in "$tmp/$1.csr" -out "$tmp/$1.crt" \
    -startdate 20200101000000Z -enddate 21200101000000Z "${@:2}" 2>/dev/null
}
root() { sign "$1" -selfsign -keyfile "$tmp/$1.key"; }
under() { sign "$1" -cert "$tmp/$2.crt" -keyfile "$tmp/$2.key"; } # name, signer
p12() { openssl pkcs12 -export "$@"; }

key ec-root EC ec_paramgen_curve:P-256; root ec-root
key ec-middle EC ec_paramgen_curve:P-256; under ec-middle ec-root
key ec-issuer EC ec_paramgen_curve:P-256; under ec-issuer ec-middle
key rsa-root RSA rsa_keygen_bits:2048; root rsa-root
key rsa-issuer RSA rsa_keygen_bits:2048; under rsa-issuer rsa-root
cat "$tmp/ec-middle.crt" "$tmp/ec-root.crt" >"$tmp/ec-chain.crt"

# As OpenSSL 3 does it by itself: PBES2, AES-256, HMAC-SHA-256.
p12 -inkey "$tmp/ec-issuer.key" -in "$tmp/ec-issuer.crt" -certfile "$tmp/ec-chain.crt" -name issuer -passout pass:secret -out ec-issuer.p12
p12 -inkey "$tmp/ec-root.key" -in "$tmp/ec-root.crt" -passout pass:secret -out ec-anchor.p12
p12 -inkey "$tmp/rsa-root.key" -in "$tmp/rsa-root.crt" -passout pass:secret -out rsa-anchor.p12
p12 -inkey "$tmp/rsa-issuer.key" -in "$tmp/rsa-issuer.crt" -passout pass:secret -out rsa-issuer-without-chain.p12
p12 -inkey "$tmp/ec-issuer.key" -in "$tmp/ec-issuer.crt" -certfile "$tmp/ec-chain.crt" -passout pass:schlüssel€ -out umlaut.p12
p12 -inkey "$tmp/ec-issuer.key" -in "$tmp/ec-issuer.crt" -certfile "$tmp/ec-chain.crt" -passout pass: -out empty-password.p12
p12 -inkey "$tmp/ec-issuer.key" -in "$tmp/ec-issuer.crt" -certfile "$tmp/ec-chain.crt" -passout pass:secret -nomac -out without-mac.p12
p12 -inkey "$tmp/ec-issuer.key" -in "$tmp/ec-issuer.crt" -certfile "$tmp/ec-chain.crt" -passout pass:secret -keypbe NONE -certpbe NONE -out not-encrypted.p12
p12 -inkey "$tmp/ec-issuer.key" -in "$tmp/ec-issuer.crt" -certfile "$tmp/ec-chain.crt" -passout pass:secret -keypbe AES-128-CBC -certpbe DES-EDE3-CBC -macalg sha512 -iter 10000 -out other-ciphers.p12
# As older programs do: the key with 3DES, certificates with RC2 of 40 bits, HMAC-SHA-1.
p12 -legacy -inkey "$tmp/rsa-issuer.key" -in "$tmp/rsa-issuer.crt" -certfile "$tmp/rsa-root.crt" -passout pass:secret -out legacy-rsa-issuer.p12
p12 -legacy -inkey "$tmp/ec-issuer.key" -in "$tmp/ec-issuer.crt" -certfile "$tmp/ec-chain.crt" -passout pass:schlüssel€ -out legacy-umlaut.p12
p12 -legacy -inkey "$tmp/ec-issuer.key" -in "$tmp/ec-issuer.crt" -certfile "$tmp/ec-chain.crt" -passout pass:secret -certpbe PBE-SHA1-RC2-128 -out rc2-128.p12
p12 -nokeys -in "$tmp/ec-chain.crt" -passout pass:secret -out certificates-alone.p12
p12 -nocerts -inkey "$tmp/ec-issuer.key" -passout pass:secret -out key-alone.p12

cat "$tmp/ec-issuer.crt" "$tmp/ec-chain.crt" >ec-issuer.crt.pem
cat "$tmp/rsa-issuer.crt" "$tmp/rsa-root.crt" >rsa-issuer.crt.pem
cp "$tmp/rsa-root.crt" rsa-root.crt.pem
openssl pkcs8 -topk8 -in "$tmp/ec-issuer.key" -passout pass:secret -out ec-pbes2.key.pem
openssl pkcs8 -topk8 -in "$tmp/rsa-issuer.key" -passout pass:schlüssel€ -v2 aes-128-cbc -v2prf hmacWithSHA512 -out rsa-pbes2-umlaut.key.pem
openssl pkcs8 -topk8 -in "$tmp/rsa-issuer.key" -passout pass:secret -v1 PBE-SHA1-3DES -out rsa-3des.key.pem
openssl pkcs8 -topk8 -in "$tmp/ec-issuer.key" -passout pass:secret -scrypt -out ec-scrypt.key.pem
openssl ec -in "$tmp/ec-issuer.key" -aes256 -passout pass:secret -out ec-traditional.key.pem 2>/dev/null
openssl rsa -in "$tmp/rsa-issuer.key" -traditional -aes128 -passout pass:secret -out rsa-traditional.key.pem 2>/dev/null
openssl rsa -in "$tmp/rsa-issuer.key" -traditional -provider legacy -provider default -des -passout pass:secret -out rsa-traditional-des.key.pem 2>/dev/null
openssl ec -in "$tmp/ec-issuer.key" -provider legacy -provider default -des -passout pass:secret -out ec-traditional-des.key.pem 2>/dev/null
openssl pkey -in "$tmp/rsa-issuer.key" -traditional -out rsa-plain.key.pem

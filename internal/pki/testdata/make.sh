#!/bin/sh
# Makes the fixtures of this folder anew: OpenSSL 3.0 and a keytool of Java 17 or later.
set -eu
cd "$(dirname "$0")"
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
days="-days 36500"

openssl ecparam -name prime256v1 -genkey -noout -out "$t/ca.key"
openssl req -x509 -new -key "$t/ca.key" $days -subj "/O=Example/CN=root" -out "$t/ca.pem"
openssl ecparam -name prime256v1 -genkey -noout -out "$t/leaf.key"
openssl req -new -key "$t/leaf.key" -subj "/CN=leaf" -out "$t/leaf.csr"
openssl x509 -req -in "$t/leaf.csr" -CA "$t/ca.pem" -CAkey "$t/ca.key" -set_serial 7 $days -out "$t/leaf.pem"
pfx() { out=$1; shift; openssl pkcs12 -export -inkey "$t/leaf.key" -in "$t/leaf.pem" -certfile "$t/ca.pem" -name leaf -out "$out" "$@"; }
pfx legacy.pfx -legacy -passout pass:pässwörd
pfx legacy-empty.pfx -legacy -passout pass:
pfx modern.pfx -passout pass:pässwörd
pfx modern-empty.pfx -passout pass:
pfx rc2-128.pfx -legacy -certpbe PBE-SHA1-RC2-128 -keypbe PBE-SHA1-2DES -macalg sha224 -passout pass:1234
pfx rc2-40-key.pfx -legacy -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-RC2-40 -macalg sha384 -passout pass:1234
pfx aes-128.pfx -certpbe AES-128-CBC -keypbe AES-192-CBC -macalg sha512 -passout pass:1234
pfx des3-pbes2.pfx -certpbe DES-EDE3-CBC -keypbe AES-256-CBC -macalg sha256 -passout pass:1234
pfx plain-bags.pfx -certpbe NONE -keypbe NONE -passout pass:1234
pfx surrogates.pfx -legacy -passout pass:😀
pfx no-mac.pfx -nomac -passout pass:1234
openssl pkcs12 -export -nokeys -in "$t/leaf.pem" -passout pass:1234 -out no-key.pfx
openssl pkcs12 -export -inkey "$t/ca.key" -nocerts -passout pass:1234 -out no-certificate.pfx

openssl pkcs8 -topk8 -nocrypt -in "$t/leaf.key" -out "$t/leaf.p8"
cat "$t/leaf.p8" "$t/leaf.pem" "$t/ca.pem" > key-first.pem
cat "$t/ca.pem" "$t/leaf.pem" "$t/leaf.p8" > key-last.pem
cat "$t/leaf.key" "$t/leaf.pem" > sec1.pem
enc() { out=$1; shift; { openssl pkcs8 -topk8 -in "$t/leaf.key" -passout pass:pässwörd "$@"; cat "$t/leaf.pem"; } > "$out"; }
enc encrypted-3des.pem -v1 PBE-SHA1-3DES
enc encrypted-aes.pem -v2 aes-256-cbc -v2prf hmacWithSHA512
enc encrypted-scrypt.pem -scrypt
enc encrypted-md5.pem -v1 PBE-MD5-DES -provider legacy -provider default

openssl genrsa -out "$t/rsa.key" 2048
openssl req -x509 -new -key "$t/rsa.key" $days -subj "/CN=rsa" -out "$t/rsa.pem"
openssl pkcs8 -topk8 -nocrypt -in "$t/rsa.key" -out "$t/rsa.p8"
cat "$t/rsa.p8" "$t/rsa.pem" > rsa.pem
openssl rsa -in "$t/rsa.key" -traditional -out "$t/rsa.pkcs1"
cat "$t/rsa.pkcs1" "$t/rsa.pem" > pkcs1.pem

bad() { name=$1; shift; openssl genpkey "$@" -out "$t/bad.p8"; openssl req -x509 -new -key "$t/bad.p8" $days -subj "/CN=bad" -out "$t/bad.pem"; cat "$t/bad.p8" "$t/bad.pem" > "$name"; }
bad rsa-1024.pem -algorithm RSA -pkeyopt rsa_keygen_bits:1024
bad p-224.pem -algorithm EC -pkeyopt ec_paramgen_curve:P-224
bad ed25519.pem -algorithm ED25519
bad rsa-pss.pem -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
bad brainpool-explicit.pem -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1 -pkeyopt ec_param_enc:explicit
bad p-256-explicit.pem -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit
bad p-256k-named.pem -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1
bad p-256k-explicit.pem -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -pkeyopt ec_param_enc:explicit
openssl pkcs12 -export -in p-256k-named.pem -passout pass:1234 -out p-256k.pfx

openssl req -x509 -new -key "$t/leaf.key" $days -subj "/CN=negative" -set_serial -5 -outform DER -out negative-serial.der

keytool -genkeypair -alias a -keyalg EC -groupname secp256r1 -dname "CN=java, O=Example" -validity 36500 -ext san=dns:java.test -keystore "$t/java.pfx" -storetype PKCS12 -storepass changeit
cp "$t/java.pfx" java.pfx
keytool -J-Dkeystore.pkcs12.legacy -genkeypair -alias a -keyalg EC -groupname secp256r1 -dname "CN=java, O=Example" -validity 36500 -keystore "$t/java-legacy.pfx" -storetype PKCS12 -storepass changeit
cp "$t/java-legacy.pfx" java-legacy.pfx

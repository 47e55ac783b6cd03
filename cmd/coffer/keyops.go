package main

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/spf13/cobra"

	"coffer/internal/client"
)

// A keyJob is what the six operations with a key have in common: what comes in, what goes
// out, and which key does it how.
type keyJob struct {
	version, algorithm, file, out string
	digest                        bool
	iv, tag, aad                  string // base64url, as the service writes them
}

func (j *keyJob) add(cmd *cobra.Command, algorithms string, defaultAlgorithm string) {
	cmd.Flags().StringVarP(&j.algorithm, "algorithm", "a", defaultAlgorithm, "the `name` of the algorithm: "+algorithms)
	cmd.Flags().StringVarP(&j.file, "file", "f", "-", "the `file` with what comes in; - is standard input")
	cmd.Flags().StringVar(&j.version, "version", "", "a `version` of the key; the current one if none is named")
	_ = cmd.RegisterFlagCompletionFunc("algorithm", cobra.FixedCompletions(strings.Split(algorithms, ", "), cobra.ShellCompDirectiveNoFileComp))
}

func (j *keyJob) addOut(cmd *cobra.Command) {
	cmd.Flags().StringVar(&j.out, "out", "", "write what comes out to this new `file`, byte by byte; - is standard output. Without it the answer is printed, in base64url")
}

const (
	signatureAlgorithms  = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, ES256K, HS256, HS384, HS512"
	encryptionAlgorithms = "RSA-OAEP-256, RSA-OAEP, RSA1_5, A128GCM, A192GCM, A256GCM, A128CBC, A192CBC, A256CBC, A128CBCPAD, A192CBCPAD, A256CBCPAD"
	wrapAlgorithms       = "RSA-OAEP-256, RSA-OAEP, RSA1_5, A128KW, A192KW, A256KW"
)

var (
	resultColumns = client.Columns("KEY", "kid", "RESULT", "value", "IV", "iv", "TAG", "tag", "AAD", "aad")
	signColumns   = client.Columns("KEY", "kid", "SIGNATURE", "value")
)

// cryptography are the verbs that use a key.
func (r *remote) cryptography() []*cobra.Command {
	type operation func(*azkeys.Client, context.Context, string, string, azkeys.KeyOperationParameters) (azkeys.KeyOperationResult, error)
	encrypt := func(c *azkeys.Client, ctx context.Context, name, version string, p azkeys.KeyOperationParameters) (azkeys.KeyOperationResult, error) {
		got, err := c.Encrypt(ctx, name, version, p, nil)
		return got.KeyOperationResult, err
	}
	decrypt := func(c *azkeys.Client, ctx context.Context, name, version string, p azkeys.KeyOperationParameters) (azkeys.KeyOperationResult, error) {
		got, err := c.Decrypt(ctx, name, version, p, nil)
		return got.KeyOperationResult, err
	}
	wrap := func(c *azkeys.Client, ctx context.Context, name, version string, p azkeys.KeyOperationParameters) (azkeys.KeyOperationResult, error) {
		got, err := c.WrapKey(ctx, name, version, p, nil)
		return got.KeyOperationResult, err
	}
	unwrap := func(c *azkeys.Client, ctx context.Context, name, version string, p azkeys.KeyOperationParameters) (azkeys.KeyOperationResult, error) {
		got, err := c.UnwrapKey(ctx, name, version, p, nil)
		return got.KeyOperationResult, err
	}
	out := []*cobra.Command{r.keySign(), r.keyVerify()}
	for _, verb := range []struct {
		use, short, algorithms string
		do                     operation
	}{
		{"encrypt", "Encrypt a little data with a key", encryptionAlgorithms, encrypt},
		{"decrypt", "Decrypt what was encrypted with a key", encryptionAlgorithms, decrypt},
		{"wrap", "Wrap a key of your own with a key of the vault", wrapAlgorithms, wrap},
		{"unwrap", "Unwrap a key that was wrapped with a key of the vault", wrapAlgorithms, unwrap},
	} {
		j := &keyJob{}
		example := "  coffer key " + verb.use + " wrapper --vault demo --algorithm RSA-OAEP-256 --file in --out out"
		cmd := r.onKey(verb.use+" NAME", verb.short, example, resultColumns, func(ctx context.Context, cmd *cobra.Command, c *azkeys.Client, target object) (any, error) {
			parameters, err := j.parameters(cmd)
			if err != nil {
				return nil, err
			}
			result, err := verb.do(c, ctx, target.name, firstText(j.version, target.version), parameters)
			answer, err := j.deliver(cmd, result, result.Result, err)
			if answer == nil && len(result.IV)+len(result.AuthenticationTag) > 0 { // they are needed to decrypt
				result.Result = nil
				answer = result
			}
			return answer, err
		})
		j.add(cmd, verb.algorithms, "RSA-OAEP-256")
		j.addOut(cmd)
		cmd.Flags().StringVar(&j.iv, "iv", "", "the initialization vector of AES, in base64url: a `text` that encrypt shows")
		cmd.Flags().StringVar(&j.tag, "tag", "", "the authentication tag of AES-GCM, in base64url: a `text` that encrypt shows")
		cmd.Flags().StringVar(&j.aad, "aad", "", "further data that AES-GCM authenticates, in base64url, a `text`")
		out = append(out, cmd)
	}
	return out
}

func (j *keyJob) parameters(cmd *cobra.Command) (p azkeys.KeyOperationParameters, err error) {
	if err := mustBeFree(j.out); err != nil {
		return p, err
	}
	p.Algorithm = to.Ptr(azkeys.EncryptionAlgorithm(j.algorithm))
	for flag, part := range map[string]struct {
		text string
		to   *[]byte
	}{"iv": {j.iv, &p.IV}, "tag": {j.tag, &p.AuthenticationTag}, "aad": {j.aad, &p.AdditionalAuthenticatedData}} {
		if part.text == "" {
			continue
		}
		if *part.to, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(part.text, "=")); err != nil {
			return p, client.Usagef("--%s is not base64url", flag)
		}
	}
	p.Value, err = readInput(cmd, "file", j.file)
	return p, err
}

// deliver writes the bytes to the file that is named, or leaves the answer to be printed.
func (j *keyJob) deliver(cmd *cobra.Command, answer any, result []byte, err error) (any, error) {
	if err != nil || j.out == "" {
		return answer, err
	}
	return nil, writeOutput(cmd, j.out, result, 0o600)
}

// hash makes the digest that a signature algorithm signs. HMAC takes the message itself.
func (j *keyJob) hash(message []byte) ([]byte, error) {
	if j.digest || strings.HasPrefix(j.algorithm, "HS") {
		return message, nil
	}
	switch {
	case strings.HasSuffix(j.algorithm, "256"), j.algorithm == "ES256K":
		sum := sha256.Sum256(message)
		return sum[:], nil
	case strings.HasSuffix(j.algorithm, "384"):
		sum := sha512.Sum384(message)
		return sum[:], nil
	case strings.HasSuffix(j.algorithm, "512"):
		sum := sha512.Sum512(message)
		return sum[:], nil
	}
	return nil, client.Usagef("--algorithm is %q: there are %s", j.algorithm, signatureAlgorithms)
}

func (r *remote) keySign() *cobra.Command {
	j := &keyJob{}
	cmd := r.onKey("sign NAME --algorithm NAME", "Sign a file",
		"  coffer key sign signer --vault demo --algorithm ES256 --file message.txt --out message.sig\n  openssl dgst -sha256 -binary big.iso | coffer key sign signer --vault demo --algorithm ES256 --digest --out big.sig", signColumns,
		func(ctx context.Context, cmd *cobra.Command, c *azkeys.Client, target object) (any, error) {
			if err := mustBeFree(j.out); err != nil {
				return nil, err
			}
			digest, err := j.read(cmd)
			if err != nil {
				return nil, err
			}
			signed, err := c.Sign(ctx, target.name, firstText(j.version, target.version), azkeys.SignParameters{Algorithm: to.Ptr(azkeys.SignatureAlgorithm(j.algorithm)), Value: digest}, nil)
			return j.deliver(cmd, signed.KeyOperationResult, signed.Result, err)
		})
	j.add(cmd, signatureAlgorithms, "")
	j.addOut(cmd)
	cmd.Flags().BoolVar(&j.digest, "digest", false, "what comes in is the message's digest, not the message")
	return cmd
}

func (j *keyJob) read(cmd *cobra.Command) ([]byte, error) {
	if j.algorithm == "" {
		return nil, client.Usagef("say how: --algorithm, one of %s", signatureAlgorithms)
	}
	message, err := readInput(cmd, "file", j.file)
	if err != nil {
		return nil, err
	}
	return j.hash(message)
}

// errNotValid ends verify where the signature is another's, or of another message.
var errNotValid = errors.New("the signature is not valid")

func (r *remote) keyVerify() *cobra.Command {
	j := &keyJob{}
	var signature string
	cmd := r.onKey("verify NAME --algorithm NAME --signature FILE", "Verify the signature of a file; one that is not valid ends with 1",
		"  coffer key verify signer --vault demo --algorithm ES256 --file message.txt --signature message.sig", client.Columns("VALID", "value"),
		func(ctx context.Context, cmd *cobra.Command, c *azkeys.Client, target object) (any, error) {
			if j.file == "-" && signature == "-" {
				return nil, client.Usagef("only one of --file and --signature can be standard input")
			}
			signed, err := readInput(cmd, "signature", signature)
			if err != nil {
				return nil, err
			}
			digest, err := j.read(cmd)
			if err != nil {
				return nil, err
			}
			verified, err := c.Verify(ctx, target.name, firstText(j.version, target.version), azkeys.VerifyParameters{Algorithm: to.Ptr(azkeys.SignatureAlgorithm(j.algorithm)), Digest: digest, Signature: signed}, nil)
			if err == nil && (verified.Value == nil || !*verified.Value) {
				err = errNotValid
			}
			return verified.KeyVerifyResult, err
		})
	j.add(cmd, signatureAlgorithms, "")
	cmd.Flags().StringVar(&signature, "signature", "", "the `file` with the signature, byte by byte; - is standard input")
	cmd.Flags().BoolVar(&j.digest, "digest", false, "what comes in is the message's digest, not the message")
	return cmd
}

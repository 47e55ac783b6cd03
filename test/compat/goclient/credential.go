package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// readSecret signs in by whatever the environment offers, reads a secret, and prints it
// with what the token says of the way. A value is written first.
func readSecret(credential azcore.TokenCredential, values []string) {
	url := os.Getenv("VAULT_URL")
	client, err := azsecrets.NewClient(url, credential, nil)
	must(err)
	for _, value := range values {
		_, err := client.SetSecret(ctx, "s", azsecrets.SetSecretParameters{Value: &value}, nil)
		must(err)
	}
	secret, err := client.GetSecret(ctx, "s", "", nil)
	must(err)
	_, domain, _ := strings.Cut(url, ".")
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://" + domain + "/.default"}})
	must(err)
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Token, ".")[1])
	must(err)
	claims := map[string]any{}
	must(json.Unmarshal(body, &claims))
	claims["program"], claims["value"] = "go", *secret.Value
	must(json.NewEncoder(os.Stdout).Encode(claims))
}

// defaultCredential takes the own domain of an installation for what it is: it is asked
// for its metadata itself.
func defaultCredential() azcore.TokenCredential {
	credential, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{DisableInstanceDiscovery: os.Getenv("AZURE_TENANT_ID") == "adfs"})
	must(err)
	return credential
}

// Command tools uses a vault's key through other people's libraries: the portable
// secrets API of gocloud.dev, and the wrapper by which HashiCorp's family of vaults
// unseals itself.
package main

import (
	"context"
	"fmt"
	"os"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/azurekeyvault/v2"
	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/azurekeyvault"
)

func main() {
	ctx := context.Background()
	for name, round := range map[string]func(context.Context, []byte) ([]byte, error){"gocloud": gocloud, "go-kms-wrapping": kms} {
		plain, err := round(ctx, []byte("hello"))
		if err != nil || string(plain) != "hello" {
			fmt.Fprintln(os.Stderr, name, string(plain), err)
			os.Exit(1)
		}
		fmt.Println(name, "done")
	}
}

func gocloud(ctx context.Context, plain []byte) ([]byte, error) {
	keeper, err := secrets.OpenKeeper(ctx, "azurekeyvault://"+os.Getenv("KEY_VAULT_NAME")+".vault.azure.net/keys/tools")
	if err != nil {
		return nil, err
	}
	defer keeper.Close()
	sealed, err := keeper.Encrypt(ctx, plain)
	if err != nil {
		return nil, err
	}
	return keeper.Decrypt(ctx, sealed)
}

func kms(ctx context.Context, plain []byte) ([]byte, error) {
	wrapper := azurekeyvault.NewWrapper()
	config := wrapping.WithConfigMap(map[string]string{"vault_name": os.Getenv("KEY_VAULT_NAME"), "key_name": "tools"})
	if _, err := wrapper.SetConfig(ctx, config); err != nil {
		return nil, err
	}
	sealed, err := wrapper.Encrypt(ctx, plain)
	if err != nil {
		return nil, err
	}
	return wrapper.Decrypt(ctx, sealed)
}

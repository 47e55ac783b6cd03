package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"coffer/internal/seal"
	"coffer/internal/seal/azure"
	"coffer/internal/seal/passphrase"
	"coffer/internal/seal/pkcs11"
)

// A SealConfig names what keeps the root key safe. It has one member.
type SealConfig struct {
	Passphrase    *PassphraseConfig `yaml:"passphrase" json:"passphrase,omitempty"`
	AzureKeyVault *AzureSealConfig  `yaml:"azure_key_vault" json:"azure_key_vault,omitempty"`
	PKCS11        *PKCS11Config     `yaml:"pkcs11" json:"pkcs11,omitempty"`
}

// A PassphraseConfig says where the passphrase comes from.
type PassphraseConfig struct {
	File string `yaml:"file" json:"file,omitempty"`
	// Prompt takes it from the terminal, or one line of the standard input.
	Prompt bool `yaml:"prompt" json:"prompt,omitempty"`
	// Given is what a command was told by its user, for a server that runs.
	Given []byte `yaml:"-" json:"given,omitempty"`
}

// An AzureSealConfig names the key of another key vault.
type AzureSealConfig struct {
	Key              string `yaml:"key" json:"key"` // https://VAULT/keys/NAME
	TenantID         string `yaml:"tenant_id" json:"tenant_id,omitempty"`
	ClientID         string `yaml:"client_id" json:"client_id,omitempty"`
	ClientSecretFile string `yaml:"client_secret_file" json:"client_secret_file,omitempty"`
	AuthorityHost    string `yaml:"authority_host" json:"authority_host,omitempty"`
	CAFile           string `yaml:"ca_file" json:"ca_file,omitempty"`
}

// A PKCS11Config names the key of a token.
type PKCS11Config struct {
	Module  string `yaml:"module" json:"module"`
	Token   string `yaml:"token" json:"token"`
	PINFile string `yaml:"pin_file" json:"pin_file"`
	Key     string `yaml:"key" json:"key"`
}

// A SealChoice is what a configuration says about the seal: one of the two.
type SealChoice struct {
	RootKeyFile string      `yaml:"root_key_file" json:"root_key_file,omitempty"`
	Seal        *SealConfig `yaml:"seal" json:"seal,omitempty"`
}

// ReadSealChoice reads the file that coffer seal change and coffer init are given: the
// lines of a configuration that are about the seal, and no others.
func ReadSealChoice(path string) (c SealChoice, err error) {
	file, err := os.Open(path)
	if err != nil {
		return c, fmt.Errorf("the new seal cannot be read: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfig))
	if err != nil {
		return c, fmt.Errorf("the new seal cannot be read: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return c, err
	}
	c, err = parseSealChoice(text, dir)
	if err != nil {
		return c, fmt.Errorf("the new seal in %s is wrong: %w", path, err)
	}
	return c, nil
}

// parseSealChoice reads a choice whose relative paths are relative to dir.
func parseSealChoice(text []byte, dir string) (c SealChoice, err error) {
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField()).Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return SealChoice{}, err
	}
	absolute(dir, &c.RootKeyFile)
	if c.Seal != nil {
		c.Seal.resolve(dir)
	}
	return c, c.check()
}

func absolute(dir string, paths ...*string) {
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

func (s *SealConfig) resolve(dir string) {
	if s.Passphrase != nil {
		absolute(dir, &s.Passphrase.File)
	}
	if s.AzureKeyVault != nil {
		absolute(dir, &s.AzureKeyVault.ClientSecretFile, &s.AzureKeyVault.CAFile)
	}
	if s.PKCS11 != nil {
		absolute(dir, &s.PKCS11.Module, &s.PKCS11.PINFile)
	}
}

// check refuses what names no seal, or more than one.
func (c SealChoice) check() error {
	if c.Seal == nil {
		if c.RootKeyFile == "" {
			return errors.New("root_key_file or seal is missing")
		}
		return nil
	}
	if c.RootKeyFile != "" {
		return errors.New("root_key_file and seal contradict each other: name the one that the store is sealed by")
	}
	named := 0
	if p := c.Seal.Passphrase; p != nil {
		if named++; (p.File == "") == !p.Prompt && p.Given == nil {
			return errors.New("seal: passphrase needs either file or prompt: true")
		}
	}
	if a := c.Seal.AzureKeyVault; a != nil {
		if named++; a.Key == "" || a.ClientSecretFile != "" && (a.TenantID == "" || a.ClientID == "") {
			return errors.New("seal: azure_key_vault needs key; and client_secret_file goes with tenant_id and client_id")
		}
	}
	if p := c.Seal.PKCS11; p != nil {
		if named++; p.Module == "" || p.Token == "" || p.PINFile == "" || p.Key == "" {
			return errors.New("seal: pkcs11 needs module, token, pin_file and key")
		}
	}
	if named != 1 {
		return errors.New("seal names one of passphrase, azure_key_vault and pkcs11")
	}
	return nil
}

// Prompts reports whether a person has to type the passphrase.
func (c SealChoice) Prompts() bool {
	return c.Seal != nil && c.Seal.Passphrase != nil && c.Seal.Passphrase.Prompt && c.Seal.Passphrase.Given == nil
}

// open makes the provider. Only the passphrase and files are read; nobody is asked.
func (c SealChoice) open(prompt func() ([]byte, error)) (seal.Provider, error) {
	if c.Seal == nil {
		key, err := seal.ReadRootKeyFile(c.RootKeyFile)
		if err != nil {
			return nil, err
		}
		return seal.NewFile(c.RootKeyFile, key), nil
	}
	switch s := c.Seal; {
	case s.AzureKeyVault != nil:
		a := s.AzureKeyVault
		return azure.New(azure.Config{
			Key: a.Key, TenantID: a.TenantID, ClientID: a.ClientID, SecretFile: a.ClientSecretFile, AuthorityHost: a.AuthorityHost, CAFile: a.CAFile, Verify: a.AuthorityHost == "",
		})
	case s.PKCS11 != nil:
		return pkcs11.New(pkcs11.Config{Module: s.PKCS11.Module, Token: s.PKCS11.Token, PINFile: s.PKCS11.PINFile, Key: s.PKCS11.Key})
	case s.Passphrase.Given != nil:
		return passphrase.New(s.Passphrase.Given, "the command's user", passphrase.DefaultCost)
	case s.Passphrase.Prompt:
		if prompt == nil {
			return nil, errors.New("the passphrase has to be typed, and there is nobody to ask")
		}
		given, err := prompt()
		if err != nil {
			return nil, fmt.Errorf("the passphrase cannot be read: %w", err)
		}
		return passphrase.New(given, "the terminal", passphrase.DefaultCost)
	}
	return passphrase.ReadFile(c.Seal.Passphrase.File)
}

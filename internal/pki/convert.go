package pki

import "slices"

// PFXToPEM returns the contents of a file that EncodePFX made in the form of EncodePEM.
// The file has an empty password, and a private key or none.
func PFXToPEM(file []byte) ([]byte, error) {
	r := pfxReader{work: newWork(), forms: passwords("")}
	der, err := toDER(file)
	if err != nil {
		return nil, explainImport(ErrPFX, err)
	}
	bags, err := r.open(der)
	if err != nil {
		return nil, explainImport(ErrPFX, err)
	}
	var chain [][]byte
	withKey := false
	for _, b := range bags {
		if b.isKey {
			withKey = true
			continue
		}
		chain = append(chain, b.data)
	}
	slices.Reverse(chain) // in the file the root comes first
	if !withKey {
		return EncodePEM(nil, chain)
	}
	contents, err := r.join(bags)
	if err != nil {
		return nil, explainImport(ErrPFX, err)
	}
	return EncodePEM(contents.Key, chain)
}

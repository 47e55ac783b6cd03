package arm

import (
	"net/http"
	"time"

	"coffer/internal/httpd"
	"coffer/internal/vault"
)

func (d *Door) deletedVault(v vault.Vault) deletedVaultResource {
	return deletedVaultResource{
		ID:   "/subscriptions/" + d.Vaults.SubscriptionID() + "/providers/Microsoft.KeyVault/locations/" + v.Location + "/deletedVaults/" + v.Name,
		Name: v.Name, Type: "Microsoft.KeyVault/deletedVaults",
		Properties: deletedVaultProperties{
			VaultID: d.Vaults.VaultID(v.Group, v.Name), Location: v.Location, Tags: tags(v.Tags), DeletionDate: v.Deleted.UTC().Format(time.RFC3339),
			ScheduledPurgeDate: v.PurgeAt.UTC().Format(time.RFC3339), PurgeProtection: v.PurgeProtection,
		},
	}
}

func (d *Door) listDeletedVaults(r request) (answer, error) {
	vaults, err := d.Vaults.ListDeletedVaults(r.ctx, r.caller)
	var out []deletedVaultResource
	for _, v := range vaults {
		out = append(out, d.deletedVault(v))
	}
	return ok(listOf(out)), err
}

func (d *Door) getDeletedVault(r request) (answer, error) {
	v, err := d.Vaults.GetDeletedVault(r.ctx, r.caller, shortLocation(r.params["{location}"]), r.params["{vault}"])
	return ok(d.deletedVault(v)), err
}

func (d *Door) purgeVault(r request) (answer, error) {
	location := shortLocation(r.params["{location}"])
	op, err := d.Vaults.PurgeVault(r.ctx, r.caller, location, r.params["{vault}"])
	if err != nil || op.Done {
		return answer{status: http.StatusOK}, err
	}
	return accepted(r, d.operation(location, op.Token)), nil
}

func (d *Door) operation(location, token string) string {
	return "/subscriptions/" + d.Vaults.SubscriptionID() + "/providers/Microsoft.KeyVault/locations/" + location + "/operationResults/" + token
}

func (d *Door) purgeResult(r request) (answer, error) {
	op, err := d.Vaults.PurgeDone(r.ctx, r.caller, shortLocation(r.params["{location}"]), r.params["{token}"])
	if err != nil {
		return answer{}, err
	}
	if !op.Done {
		return accepted(r, d.operation(shortLocation(r.params["{location}"]), r.params["{token}"])), nil
	}
	const form = "2006-01-02 15:04:05Z"
	return ok(operationResult{Created: op.Began.UTC().Format(form), LastAction: op.Ended.UTC().Format(form), Status: "Succeeded"}), nil
}

// listNoHSMs is the empty list that tools need which list vaults and managed HSMs alike.
func (d *Door) listNoHSMs(r request) (answer, error) {
	_, err := d.Vaults.Sees(r.ctx, r.caller)
	return ok(listOf[struct{}](nil)), err
}

func (d *Door) checkHSMName(r request) (answer, error) {
	if _, err := d.Vaults.Sees(r.ctx, r.caller); err != nil {
		return answer{}, err
	}
	var body nameInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	return answer{}, fail(http.StatusBadRequest, "RegionNotSupported", "This server has no managed HSMs. Use a vault with the SKU premium for keys of the kinds with -HSM.")
}

package vault_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"coffer/internal/issuer"
	"coffer/internal/vault"
)

func TestCancelBeforeTheIssuer(t *testing.T) {
	t.Attr("conformance", "cert-5.3-7")
	w, ctx := newWorld(t), context.Background()
	begun := w.create(vault.NewCertificate{Policy: policy("slow"), Tags: map[string]string{"a": "b"}})
	if op := w.operation(); !op.InProgress() || op.CancellationRequested || w.slow.calls == 0 {
		t.Fatalf("%+v after %d calls", op, w.slow.calls)
	}
	_, err := w.vaults.UpdateCertificateOperation(ctx, w.caller, web, "another", ptr(true))
	w.refused(err, vault.CodePendingCertificateNotFound)
	_, err = w.vaults.UpdateCertificateOperation(ctx, w.caller, web, "", nil)
	w.refused(err, vault.CodeBadParameter)
	op, err := w.vaults.UpdateCertificateOperation(ctx, w.caller, web, begun.RequestID, ptr(true))
	if err != nil || !op.InProgress() || !op.CancellationRequested {
		t.Fatalf("%+v, %v", op, err)
	}
	w.slow.set(true, nil) // too late
	w.settle()
	if op := w.operation(); op.Status != "cancelled" || !op.CancellationRequested || !bytes.Equal(op.CSR, begun.CSR) {
		t.Fatalf("%+v", op)
	}
	if c := w.certificate(); c.Issued() || c.Attributes.Enabled || !c.Pending {
		t.Errorf("%+v", c)
	}
	_, err = w.vaults.UpdateCertificateOperation(ctx, w.caller, web, "", ptr(true))
	w.refused(err, vault.CodeForbidden)
	// What was cancelled can be merged.
	c, err := w.vaults.MergeCertificate(ctx, w.caller, web, vault.Merge{Chain: [][]byte{w.sign(begun.CSR)}})
	if err != nil || !c.Issued() || c.Tags["a"] != "b" || w.operation().Status != "completed" || w.operation().CancellationRequested {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = w.vaults.MergeCertificate(ctx, w.caller, web, vault.Merge{Chain: [][]byte{w.sign(begun.CSR)}})
	w.refused(err, vault.CodeForbidden)
}

func TestIssuerRefuses(t *testing.T) {
	t.Attr("conformance", "cert-10-8")
	t.Attr("conformance", "cert-5.3-9")
	w, ctx := newWorld(t), context.Background()
	w.slow.set(false, &issuer.Refusal{Code: "Request rejected", Message: "no"})
	begun := w.create(vault.NewCertificate{Policy: policy("slow")})
	if op := w.operation(); !op.Failed() || op.ErrorCode != "Request rejected" || op.ErrorText != "no" {
		t.Fatalf("%+v", op)
	}
	other := w.create(vault.NewCertificate{Policy: policy("slow")}) // an ended one is overwritten
	_, err := w.vaults.GetCertificateOperation(ctx, w.caller, web, begun.RequestID)
	w.refused(err, vault.CodePendingCertificateNotFound)
	_, err = w.vaults.MergeCertificate(ctx, w.caller, web, vault.Merge{Chain: [][]byte{w.sign(begun.CSR)}})
	w.refused(err, vault.CodeBadParameter)
	if _, err := w.vaults.MergeCertificate(ctx, w.caller, web, vault.Merge{Chain: [][]byte{w.sign(other.CSR)}}); err != nil {
		t.Error(err)
	}
}

func TestMergeWhileAnIssuerWorks(t *testing.T) {
	t.Attr("conformance", "cert-10-9")
	w, ctx := newWorld(t), context.Background()
	begun := w.create(vault.NewCertificate{Policy: policy("slow")})
	_, err := w.vaults.MergeCertificate(ctx, w.caller, web, vault.Merge{Chain: [][]byte{w.sign(begun.CSR)}})
	w.refused(err, vault.CodeForbidden)
	w.slow.set(true, nil)
	w.turn(2 * time.Minute)
	if op := w.operation(); !op.Completed() {
		t.Errorf("%+v", op)
	}
}

func TestDeletePendingMidIssuance(t *testing.T) {
	t.Attr("conformance", "cert-5.3-10")
	w, ctx := newWorld(t), context.Background()
	begun := w.create(vault.NewCertificate{Policy: policy("slow")})
	op, err := w.vaults.DeleteCertificateOperation(ctx, w.caller, web, begun.RequestID)
	if err != nil || op.RequestID != begun.RequestID {
		t.Fatalf("%+v, %v", op, err)
	}
	_, err = w.vaults.DeleteCertificateOperation(ctx, w.caller, web, "")
	w.refused(err, vault.CodePendingCertificateNotFound)
	w.slow.set(true, nil)
	w.turn(2 * time.Minute)
	if c := w.certificate(); c.Issued() || c.Pending {
		t.Errorf("%+v", c)
	}
	w.create(vault.NewCertificate{Policy: policy("Self")})
	if c := w.certificate(); !c.Issued() || !c.Attributes.Enabled {
		t.Errorf("%+v", c)
	}
}

func TestChangeWhilePending(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	begun := w.create(vault.NewCertificate{Policy: policy("Unknown")})
	c, err := w.vaults.UpdateCertificate(ctx, w.caller, web, vault.CertificateUpdate{Enabled: ptr(true), Tags: &map[string]string{"late": "yes"}})
	if err != nil || c.Attributes.Enabled || c.Tags["late"] != "yes" {
		t.Fatalf("%+v, %v", c, err)
	}
	c, err = w.vaults.MergeCertificate(ctx, w.caller, web, vault.Merge{Chain: [][]byte{w.sign(begun.CSR)}})
	if err != nil || !c.Attributes.Enabled || c.Tags["late"] != "yes" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestUnreachableProvider(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	ca := vault.Ref{Vault: "demo", Name: "ca1"}
	_, err := w.vaults.CreateCertificate(ctx, w.caller, web, vault.NewCertificate{Policy: policy("ca1")})
	w.refused(err, vault.CodeBadParameter)
	if _, err := w.vaults.SetCertificateIssuer(ctx, w.caller, ca, vault.IssuerChange{Provider: ptr("DigiCert"), Enabled: ptr(false)}); err != nil {
		t.Fatal(err)
	}
	_, err = w.vaults.CreateCertificate(ctx, w.caller, web, vault.NewCertificate{Policy: policy("ca1")})
	w.refused(err, vault.CodeBadParameter)
	if _, err := w.vaults.UpdateCertificateIssuer(ctx, w.caller, ca, vault.IssuerChange{Enabled: ptr(true)}); err != nil {
		t.Fatal(err)
	}
	begun := w.create(vault.NewCertificate{Policy: policy("CA1")})
	if op := w.operation(); !op.Failed() || op.ErrorCode != "Certificate issuer error" || op.ErrorText == "" {
		t.Errorf("%+v", op)
	}
	if _, err := w.vaults.MergeCertificate(ctx, w.caller, web, vault.Merge{Chain: [][]byte{w.sign(begun.CSR)}}); err != nil {
		t.Error(err)
	}
}

func TestBackupOfAPendingOperation(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	begun := w.create(vault.NewCertificate{Policy: policy("Unknown")})
	blob, err := w.vaults.BackupCertificate(ctx, w.caller, web)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.vaults.RestoreCertificate(ctx, w.caller, "demo", blob)
	w.refused(err, vault.CodeConflict)
	if c, err := w.vaults.RestoreCertificate(ctx, w.caller, "other", blob); err != nil || c.Pending || c.Issued() {
		t.Fatalf("%+v, %v", c, err)
	}
	there := vault.Ref{Vault: "other", Name: "WEB"}
	c, err := w.vaults.MergeCertificate(ctx, w.caller, there, vault.Merge{Chain: [][]byte{w.sign(begun.CSR)}})
	if err != nil || !c.Issued() || c.Name != "web" {
		t.Errorf("%+v, %v", c, err)
	}
}

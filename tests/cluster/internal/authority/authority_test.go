package authority

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

func TestAKubeconfigHoldsAnIdentityThatItsAuthoritySigned(t *testing.T) {
	folder := t.TempDir()
	issuer, err := New(folder)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "admin.kubeconfig")
	subject := Subject{File: "admin", Name: "somebody", Group: "system:masters"}
	if err := issuer.Kubeconfig(path, "https://127.0.0.1:6443", subject); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Clusters []struct {
			Cluster struct {
				Authority []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read.Clusters[0].Cluster.Authority)
	block, _ := pem.Decode(read.Users[0].User.Certificate)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := certificate.Verify(options); err != nil {
		t.Error(err)
	}
	if certificate.Subject.CommonName != "somebody" {
		t.Errorf("subject %s", certificate.Subject)
	}
}

// Package authority makes the certificates and kubeconfigs of one cluster: its own authority, the components' serving
// certificates, and an identity for each client.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of every certificate; a cluster lives for hours.
const lifetime = 30 * 24 * time.Hour

// Subject is who a certificate speaks for.
type Subject struct {
	// File is the name of the certificate and key, without an ending.
	File  string
	Name  string
	Group string
	// Hosts and addresses that the subject serves at; empty for a client.
	Hosts     []string
	Addresses []net.IP
}

// Authority signs certificates and writes them into a folder.
type Authority struct {
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	encoded     []byte
}

// New makes an authority in a folder: ca.crt and ca.key.
func New(folder string) (*Authority, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	authority := &Authority{folder: folder}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "test cluster"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
	}
	authority.key, authority.certificate = key, template
	authority.encoded, err = authority.sign(template, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(authority.encoded)
	if authority.certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, err
	}
	if err := authority.write("ca.crt", authority.encoded); err != nil {
		return nil, err
	}
	_, err = authority.writeKey("ca.key", key)
	return authority, err
}

// Issue writes the certificate and the key of a subject and returns both, PEM-encoded.
func (a *Authority) Issue(subject Subject) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: subject.Name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:    subject.Hosts,
		IPAddresses: subject.Addresses,
	}
	if subject.Group != "" {
		template.Subject.Organization = []string{subject.Group}
	}
	if certificate, err = a.sign(template, &private.PublicKey); err != nil {
		return nil, nil, err
	}
	if err := a.write(subject.File+".crt", certificate); err != nil {
		return nil, nil, err
	}
	key, err = a.writeKey(subject.File+".key", private)
	return certificate, key, err
}

// ServiceAccountKey writes sa.key. It is in SEC 1 form: kube-apiserver takes the public half out of it only so.
func (a *Authority) ServiceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return a.write("sa.key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func (a *Authority) sign(template *x509.Certificate, public *ecdsa.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(lifetime)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", template.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// writeKey writes PKCS #8, which every TLS library reads.
func (a *Authority) writeKey(name string, key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return text, a.write(name, text)
}

func (a *Authority) write(name string, text []byte) error {
	return os.WriteFile(filepath.Join(a.folder, name), text, 0o600)
}

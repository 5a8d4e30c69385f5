// Go's x/crypto/ocsp: builds the requests, parses the answers, and verifies their signatures. Arguments as in report.sh.
package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"
)

var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}

func read(path string) *x509.Certificate {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err)
	}
	return certificate
}

func ask(at, ca, name string, hash crypto.Hash, get bool) (*ocsp.Response, error) {
	certificate, issuer := read(filepath.Join(ca, name+".crt")), read(filepath.Join(ca, "ca.crt"))
	request, err := ocsp.CreateRequest(certificate, issuer, &ocsp.RequestOptions{Hash: hash})
	if err != nil {
		return nil, err
	}
	var answer *http.Response
	if get {
		answer, err = client.Get(at + url.QueryEscape(base64.StdEncoding.EncodeToString(request)))
	} else {
		answer, err = client.Post(at, "application/ocsp-request", bytes.NewReader(request))
	}
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "application/ocsp-response" {
		return nil, fmt.Errorf("HTTP %d, %v", answer.StatusCode, answer.Header)
	}
	octets, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	response, err := ocsp.ParseResponseForCert(octets, certificate, issuer)
	if err == nil && response.IssuerHash != hash {
		err = fmt.Errorf("CertID by %v", response.IssuerHash)
	}
	return response, err
}

func expect(status int, at, ca, name string, hash crypto.Hash, get bool) error {
	response, err := ask(at, ca, name, hash, get)
	if err != nil {
		return err
	}
	if response.Status != status {
		return fmt.Errorf("status %d where %d was expected", response.Status, status)
	}
	if status == ocsp.Revoked && response.RevocationReason != ocsp.KeyCompromise {
		return fmt.Errorf("reason %d", response.RevocationReason)
	}
	now := time.Now()
	if now.Before(response.ThisUpdate) || !now.Before(response.NextUpdate) {
		return fmt.Errorf("from %v to %v", response.ThisUpdate, response.NextUpdate)
	}
	return nil
}

func main() {
	normal, unknown, stranger := os.Args[2], os.Args[3], os.Args[4]
	fmt.Println("n-a\t*\tnonce\tits requests have no nonce")
	fmt.Println("n-a\t*\tseveral\tits requests are about one certificate")
	for _, ca := range os.Args[5:] {
		say := func(which string, err error) {
			if err == nil {
				fmt.Printf("ok\t%s\t%s\t\n", ca, which)
			} else {
				fmt.Printf("FAILED\t%s\t%s\t%s\n", ca, which, strings.ReplaceAll(err.Error(), "\n", " "))
			}
		}
		say("good", expect(ocsp.Good, normal, ca, "good", crypto.SHA1, false))
		say("revoked", expect(ocsp.Revoked, normal, ca, "revoked", crypto.SHA1, false))
		say("unknown", expect(ocsp.Unknown, unknown, ca, "unlisted", crypto.SHA1, false))
		_, err := ask(normal, ca, "unlisted", crypto.SHA1, false)
		var refusal ocsp.ResponseError
		if errors.As(err, &refusal) && refusal.Status == ocsp.Unauthorized {
			err = nil
		} else {
			err = fmt.Errorf("unauthorized was expected, and not: %v", err)
		}
		say("unauthorized", err)
		err = expect(ocsp.Good, normal, ca, "good", crypto.SHA1, true)
		if err == nil {
			err = expect(ocsp.Revoked, normal, ca, "revoked", crypto.SHA256, true)
		}
		say("get", err)
		err = expect(ocsp.Good, normal, ca, "good", crypto.SHA256, false)
		if err == nil {
			err = expect(ocsp.Revoked, normal, ca, "revoked", crypto.SHA256, false)
		}
		say("sha256", err)
		_, err = ask(stranger, ca, "good", crypto.SHA1, false)
		var parse ocsp.ParseError
		if err == nil {
			err = errors.New("another CA's answer was taken")
		} else if errors.As(err, &parse) || strings.Contains(err.Error(), "verification") || strings.Contains(err.Error(), "sign") {
			err = nil
		}
		say("stranger", err)
	}
}

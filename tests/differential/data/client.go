// What a client written in Go says to a certificate. One JSON object a line in and out; see Verdict.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

type Case struct {
	Server     string   `json:"server"`
	ServerName string   `json:"server_name"`
	Roots      string   `json:"roots"`
	Chain      []string `json:"chain"`
	Key        string   `json:"key"`
	Now        float64  `json:"now"`
}

// Verdict says what a request ended with, and apart from that whether the name is covered and what becomes of the chain:
// a request ends with the first thing that is wrong.
type Verdict struct {
	Request string `json:"request"`
	Name    string `json:"name"`
	Covered bool   `json:"covered"`
	Chain   string `json:"chain"`
	Words   string `json:"words"`
}

func kind(err error) string {
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &hostname):
		return "hostname"
	case errors.As(err, &authority):
		return "authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "dates"
	case errors.As(err, &invalid):
		return "authority"
	case strings.Contains(err.Error(), "failed to parse certificate from server"):
		return "unparsable"
	case strings.Contains(err.Error(), "x509: cannot parse dnsName"): // an authority's name constraints meet what is no name
		return "authority"
	}
	return "other"
}

func der(text string) [][]byte {
	var found [][]byte
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found
		}
		found = append(found, block.Bytes)
	}
}

// pair is two ends of a connection that holds some bytes, as a network does; over net.Pipe two alerts wait for each other.
func pair() (net.Conn, net.Conn) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	var made [2]net.Conn
	for index, end := range ends {
		file := os.NewFile(uintptr(end), "end")
		if made[index], err = net.FileConn(file); err != nil {
			panic(err)
		}
		file.Close()
	}
	return made[0], made[1]
}

func serve(stream net.Conn, config *tls.Config) {
	defer stream.Close()
	secure := tls.Server(stream, config)
	if secure.Handshake() != nil {
		return
	}
	one := make([]byte, 4096)
	if _, err := secure.Read(one); err == nil {
		fmt.Fprint(secure, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
}

func judge(one Case) Verdict {
	now := func() time.Time { return time.Unix(int64(one.Now), 0) }
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(one.Roots))
	chain := der(strings.Join(one.Chain, ""))
	key, err := x509.ParseECPrivateKey(der(one.Key)[0])
	if err != nil {
		panic(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}}}
	dialled := ""
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: one.ServerName, Time: now},
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = address
			near, far := pair()
			go serve(far, server)
			return near, nil
		},
	}
	answer, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get(one.Server + "/version")
	verdict := Verdict{Request: kind(err)}
	if err == nil {
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	} else {
		verdict.Words = err.Error()
	}
	verdict.Name = one.ServerName
	if verdict.Name == "" && dialled != "" {
		verdict.Name = dialled[:strings.LastIndex(dialled, ":")]
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		verdict.Chain = "unparsable"
		return verdict
	}
	verdict.Covered = leaf.VerifyHostname(verdict.Name) == nil
	others := x509.NewCertPool()
	for _, each := range chain[1:] {
		if parsed, err := x509.ParseCertificate(each); err == nil {
			others.AddCert(parsed)
		}
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, CurrentTime: now()})
	verdict.Chain = kind(err)
	if err != nil {
		verdict.Words += " | " + err.Error()
	}
	return verdict
}

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var one Case
		if err := in.Decode(&one); err == io.EOF {
			return
		} else if err != nil {
			panic(err)
		}
		if err := out.Encode(judge(one)); err != nil {
			panic(err)
		}
	}
}

// A client of HTTP/3 for the tests: requests as lines of JSON on stdin, an answer's line for each on stdout, in the order they end. All go over
// one connection as long as that lives.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

type request struct {
	ID      int
	Method  string
	Path    string
	Body    []byte
	Header  map[string]string
	Timeout float64 // seconds
	Wait    bool    // for its answer, before the next line is read
}

type response struct {
	ID     int
	Status int
	Header http.Header
	Body   []byte
	Server string // common name of its certificate
	Conns  int    // dialled so far
	Error  string
}

func main() {
	addr := flag.String("addr", "", "")
	name := flag.String("name", "localhost", "")
	ca := flag.String("ca", "", "")
	cert := flag.String("cert", "", "")
	key := flag.String("key", "", "")
	flag.Parse()
	conf := &tls.Config{InsecureSkipVerify: *ca == "", ServerName: *name}
	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		if err != nil {
			panic(err)
		}
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM(pem)
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			panic(err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	conns := 0
	tr := &http3.Transport{TLSClientConfig: conf, DisableCompression: true,
		Dial: func(ctx context.Context, _ string, t *tls.Config, c *quic.Config) (*quic.Conn, error) {
			conns++
			return quic.DialAddr(ctx, *addr, t, c)
		}}
	var mu sync.Mutex
	var all sync.WaitGroup
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			panic(err)
		}
		all.Add(1)
		done := make(chan bool)
		go func() {
			a := ask(tr, r)
			mu.Lock()
			a.Conns = conns
			out.Encode(a)
			mu.Unlock()
			close(done)
			all.Done()
		}()
		if r.Wait {
			<-done
		}
	}
	all.Wait()
	tr.Close()
}

func ask(tr *http3.Transport, r request) response {
	a := response{ID: r.ID}
	timeout := r.Timeout
	if timeout == 0 {
		timeout = 10
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(timeout*float64(time.Second)))
	defer cancel()
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, "https://peer.test"+r.Path, body)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	for k, v := range r.Header {
		req.Header.Set(k, v)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	defer res.Body.Close()
	a.Status, a.Header = res.StatusCode, res.Header
	if res.TLS != nil && len(res.TLS.PeerCertificates) > 0 {
		a.Server = res.TLS.PeerCertificates[0].Subject.CommonName
	}
	a.Body, err = io.ReadAll(res.Body)
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

func httpServer(args []string) error {
	flags := flag.NewFlagSet("http-server", flag.ContinueOnError)
	streams := flags.Int("streams", 250, "streams per connection")
	if err := flags.Parse(args); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(response http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(response, "hello") })
	mux.HandleFunc("GET /bytes/{count}", sendBytes)
	mux.HandleFunc("POST /sink", sink)
	mux.HandleFunc("POST /early", func(response http.ResponseWriter, _ *http.Request) {
		response.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: &protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: *streams}}
	listener, err := listen()
	if err != nil {
		return err
	}
	go func() { _ = server.Serve(listener) }()
	return untilInputEnds()
}

func sendBytes(response http.ResponseWriter, request *http.Request) {
	count, err := strconv.ParseInt(request.PathValue("count"), 10, 64)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.CopyN(response, zeros{}, count)
}

// sink reads with the buffer that is asked for, as a program does that parses what it reads.
func sink(response http.ResponseWriter, request *http.Request) {
	buffer, err := strconv.Atoi(request.URL.Query().Get("buffer"))
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	read, err := readAll(request.Body, buffer)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(response).Encode(map[string]int64{"bytes": read})
}

type zeros struct{}

func (zeros) Read(into []byte) (int, error) {
	clear(into)
	return len(into), nil
}

func readAll(from io.Reader, size int) (int64, error) {
	buffer := make([]byte, size)
	var total int64
	for {
		n, err := from.Read(buffer)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// outcome is what became of a client's requests.
type outcome struct {
	mu sync.Mutex
	// Bytes is all that was read of answers.
	Bytes int64 `json:"bytes"`
	// Results has how many requests ended how: by status, or by error.
	Results map[string]int `json:"results"`
	Seconds float64        `json:"seconds"`
}

func (o *outcome) add(result string, bytes int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Bytes += bytes
	o.Results[result]++
}

func httpClient(args []string) error {
	flags := flag.NewFlagSet("http-client", flag.ContinueOnError)
	url := flags.String("url", "", "what to ask for")
	buffer := flags.Int("buffer", 32*1024, "bytes per read of an answer")
	upload := flags.Int64("upload", 0, "POST so many bytes instead of GET")
	count := flags.Int("count", 1, "requests in all")
	atOnce := flags.Int("at-once", 1, "requests at a time")
	folder := flags.String("tls", "", "folder of ca.crt, tls.crt and tls.key")
	name := flags.String("server-name", "", "with -tls: SNI")
	if err := flags.Parse(args); err != nil {
		return err
	}
	transport, err := transportFor(*folder, *name)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: transport}
	done := &outcome{Results: map[string]int{}}
	ask := func() {
		result, read := request(client, *url, *upload, *buffer)
		done.add(result, read)
	}
	done.Seconds = inParallel(*count, *atOnce, ask)
	say(done)
	return nil
}

// inParallel calls ask so many times, atOnce at a time, and returns the seconds that it took.
func inParallel(count, atOnce int, ask func()) float64 {
	start := time.Now()
	work := make(chan struct{})
	var workers sync.WaitGroup
	for range min(atOnce, count) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for range work {
				ask()
			}
		}()
	}
	for range count {
		work <- struct{}{}
	}
	close(work)
	workers.Wait()
	return time.Since(start).Seconds()
}

func request(client *http.Client, url string, upload int64, buffer int) (string, int64) {
	method, body := http.MethodGet, io.Reader(nil)
	if upload > 0 {
		method, body = http.MethodPost, io.LimitReader(zeros{}, upload)
	}
	asked, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		return err.Error(), 0
	}
	asked.ContentLength = upload
	response, err := client.Do(asked)
	if err != nil {
		return err.Error(), 0
	}
	defer response.Body.Close()
	read, err := readAll(response.Body, buffer)
	if err != nil {
		return fmt.Sprintf("%d, then %v", response.StatusCode, err), read
	}
	return strconv.Itoa(response.StatusCode), read
}

func transportFor(folder, name string) (*http.Transport, error) {
	var protocols http.Protocols
	if folder == "" {
		protocols.SetUnencryptedHTTP2(true)
		return &http.Transport{Protocols: &protocols}, nil
	}
	protocols.SetHTTP2(true)
	config, err := tlsConfig(folder, name)
	return &http.Transport{Protocols: &protocols, TLSClientConfig: config}, err
}

// tlsConfig trusts whoever an authority of the folder has signed: certificates of a mesh name identities, not hosts.
func tlsConfig(folder, name string) (*tls.Config, error) {
	own, err := tls.LoadX509KeyPair(filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"))
	if err != nil {
		return nil, err
	}
	anchors, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(anchors) {
		return nil, fmt.Errorf("no certificate in %s/ca.crt", folder)
	}
	return &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: pool, ServerName: name}, nil
}

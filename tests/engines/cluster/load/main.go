// load sends requests at a steady pace to one address and counts those that fail: without an answer,
// or with a 5xx one. It ends by itself, and earlier when a file appears.
//
//	load -url http://10.98.0.80/ -rps 200 -for 60s [-body JSON] [-keepalive] [-stop FILE]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	mostRequests = 500
	longest      = 5 * time.Minute
	mostMoments  = 10
)

type result struct {
	mutex   sync.Mutex
	took    []time.Duration
	failed  int
	reasons map[string]int
	moments []string
}

// reason is the short name of why a request failed.
func reason(err error) string {
	text := err.Error()
	for _, known := range []string{"connection refused", "connection reset", "EOF", "no route", "timeout", "deadline"} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(known)) {
			return known
		}
	}
	return text
}

func send(client *http.Client, url, body string) error {
	var response *http.Response
	var err error
	if body == "" {
		response, err = client.Get(url)
	} else {
		response, err = client.Post(url, "application/json", strings.NewReader(body))
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err = io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

func (r *result) add(err error, took time.Duration) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.took = append(r.took, took)
	if err != nil {
		r.failed++
		r.reasons[reason(err)]++
		if len(r.moments) < mostMoments {
			sent := time.Now().Add(-took).UTC().Format("15:04:05.000")
			r.moments = append(r.moments, sent+" "+err.Error())
		}
	}
}

// quantile is in milliseconds; every request counts, those that failed as well.
func (r *result) quantile(share float64) float64 {
	if len(r.took) == 0 {
		return 0
	}
	sort.Slice(r.took, func(i, j int) bool { return r.took[i] < r.took[j] })
	return float64(r.took[int(share*float64(len(r.took)-1))].Microseconds()) / 1000
}

// ports gives each connection the next port. One that is taken again within two minutes may be
// sent where the one before went, to a pod that is gone: many users from one address are ours only.
type ports struct {
	timeout time.Duration
	next    atomic.Uint32
}

const firstPort, portCount = 32768, 28000

func (p *ports) dial(ctx context.Context, network, address string) (net.Conn, error) {
	for {
		port := firstPort + int(p.next.Add(1)%portCount)
		dialer := net.Dialer{Timeout: p.timeout, LocalAddr: &net.TCPAddr{Port: port}}
		connection, err := dialer.DialContext(ctx, network, address)
		// An earlier load may have left it waiting.
		if !errors.Is(err, syscall.EADDRINUSE) {
			return connection, err
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return file != "" && err == nil
}

func main() {
	url := flag.String("url", "", "where to")
	rps := flag.Int("rps", 200, "requests a second")
	length := flag.Duration("for", 30*time.Second, "the longest time")
	body := flag.String("body", "", "what to post; a GET without it")
	keep := flag.Bool("keepalive", false, "use connections again")
	timeout := flag.Duration("timeout", 3*time.Second, "of one request")
	stop := flag.String("stop", "", "ends when this file exists")
	flag.Parse()
	if *rps < 1 || *rps > mostRequests || *length > longest {
		fmt.Fprintf(os.Stderr, "load: 1 to %d requests a second, %s at most\n", mostRequests, longest)
		os.Exit(2)
	}
	dialer := ports{timeout: *timeout}
	dialer.next.Store(rand.Uint32N(portCount))
	client := &http.Client{Timeout: *timeout, Transport: &http.Transport{
		DisableKeepAlives:   !*keep,
		MaxIdleConnsPerHost: 32,
		DialContext:         dialer.dial,
	}}
	all := &result{reasons: map[string]int{}, moments: []string{}}
	var group sync.WaitGroup
	start := time.Now()
	for range time.Tick(time.Second / time.Duration(*rps)) {
		if time.Since(start) > *length || exists(*stop) {
			break
		}
		group.Go(func() {
			begin := time.Now()
			all.add(send(client, *url, *body), time.Since(begin))
		})
	}
	group.Wait()
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"sent": len(all.took), "failed": all.failed, "reasons": all.reasons, "moments": all.moments,
		"p50": all.quantile(.5), "p99": all.quantile(.99), "seconds": time.Since(start).Seconds(),
	})
}

// Package upstream tells another service about each sign-up, when UPSTREAM_URL names one.
package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"app/internal/signups"
	"app/internal/telemetry"
)

const timeLimit = 2 * time.Second

// Upstream sends sign-ups on; a failure is logged and never reaches the client.
type Upstream struct {
	url    string
	client *http.Client
}

// New makes the client of a service; without an address nothing is sent.
func New(baseURL string) *Upstream {
	if baseURL == "" {
		return &Upstream{}
	}
	transport := &http.Transport{
		MaxConnsPerHost:        100,
		MaxIdleConnsPerHost:    20,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 16 << 10,
	}
	return &Upstream{
		url: baseURL + "/signups",
		client: &http.Client{
			Transport: telemetry.Transport(transport),
			Timeout:   timeLimit,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
	}
}

// Close closes the connections.
func (u *Upstream) Close() {
	if u.client != nil {
		u.client.CloseIdleConnections()
	}
}

// Tell sends a new sign-up on, within the time limit.
func (u *Upstream) Tell(ctx context.Context, signup signups.New) {
	if u.client == nil {
		return
	}
	if problem := u.send(ctx, signup); problem != "" {
		slog.ErrorContext(ctx, "the upstream did not take a sign-up", "error.type", problem)
	}
}

func (u *Upstream) send(ctx context.Context, signup signups.New) (problem string) {
	body, err := json.Marshal(signup)
	if err != nil {
		return telemetry.ErrorType(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url, bytes.NewReader(body))
	if err != nil {
		return telemetry.ErrorType(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := u.client.Do(request)
	if err != nil {
		return telemetry.ErrorType(err)
	}
	defer response.Body.Close()
	// Read to its end, an answer leaves the connection fit for the next request.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode >= 300 {
		return strconv.Itoa(response.StatusCode)
	}
	return ""
}

// Package flags holds the feature flags: through OpenFeature, from an OFREP server when FLAGS_URL
// names one.
package flags

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
)

const (
	timeLimit = 500 * time.Millisecond
	pause     = 5 * time.Second // after a failure the defaults hold for so long
	warnEvery = time.Minute
)

// Flags are boolean; without a server, or when it is gone, they have the code's defaults.
type Flags struct {
	client      *openfeature.Client // nil: no server
	pausedUntil atomic.Int64        // in nanoseconds since 1970, as the next
	warnedAt    atomic.Int64
}

// New asks the server at this address; without one the defaults hold.
func New(url string) (*Flags, error) {
	if url == "" {
		return &Flags{}, nil
	}
	provider := ofrep.NewProvider(url, ofrep.WithClient(&http.Client{
		Timeout:   timeLimit,
		Transport: &http.Transport{MaxConnsPerHost: 50, MaxIdleConnsPerHost: 10, IdleConnTimeout: 30 * time.Second},
	}))
	if err := openfeature.SetProviderAndWait(provider); err != nil {
		return nil, err
	}
	return &Flags{client: openfeature.NewDefaultClient()}, nil
}

// Enabled says whether a flag is on. The targeting key leaves the process: never a personal detail.
func (f *Flags) Enabled(ctx context.Context, flag string, otherwise bool, targetingKey string) bool {
	now := time.Now().UnixNano()
	if f.client == nil || now < f.pausedUntil.Load() {
		return otherwise
	}
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	details, err := f.client.BooleanValueDetails(ctx, flag, otherwise,
		openfeature.NewEvaluationContext(targetingKey, nil))
	if err != nil {
		if details.ErrorCode != openfeature.FlagNotFoundCode { // a server that does not know it is there
			f.pausedUntil.Store(now + int64(pause))
		}
		if last := f.warnedAt.Load(); now-last >= int64(warnEvery) && f.warnedAt.CompareAndSwap(last, now) {
			slog.WarnContext(ctx, "a flag cannot be evaluated: its default holds",
				"feature_flag.key", flag, "error.type", string(details.ErrorCode))
		}
	}
	return details.Value
}

package api

import (
	"context"
	"sync"
	"time"
)

// readiness asks the store at most once a second, however many ask for it.
type readiness struct {
	check func(context.Context) error
	lock  sync.Mutex
	asked time.Time
	last  error
}

func (r *readiness) ask(ctx context.Context) error {
	r.lock.Lock()
	defer r.lock.Unlock()
	if time.Since(r.asked) >= time.Second {
		r.last = r.check(ctx)
		r.asked = time.Now()
	}
	return r.last
}

// Package api is the HTTP interface of the service.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	slashpath "path"
	"sync/atomic"

	"github.com/google/uuid"

	"app/internal/flags"
	"app/internal/signups"
	"app/internal/telemetry"
	"app/internal/upstream"
)

// More at once are turned away: each may hold a body of 64 KiB, and wait for a store.
const mostRequests = 500

func alive(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// API answers requests.
type API struct {
	store    signups.Store
	upstream *upstream.Upstream
	flags    *flags.Flags
	active   *signups.ActiveUsers
	ready    *readiness
	routes   *http.ServeMux
	places   chan struct{}
	draining atomic.Bool
}

// New makes the handler, not yet instrumented.
func New(store signups.Store, upstream *upstream.Upstream, flags *flags.Flags) *API {
	a := &API{
		store:    store,
		upstream: upstream,
		flags:    flags,
		active:   signups.NewActiveUsers(),
		ready:    &readiness{check: store.Check},
		routes:   http.NewServeMux(),
		places:   make(chan struct{}, mostRequests),
	}
	telemetry.Gauge("active_users", a.active.Count)
	a.handle("GET /livez", alive)
	a.handle("GET /startupz", alive) // there is no listener before everything has started
	a.handle("GET /readyz", a.readyz)
	a.handle("POST /signups", a.limited(a.createSignup))
	a.handle("GET /signups/{id}", a.limited(a.readSignup))
	a.handle("POST /signups/{id}/conversion", a.limited(a.convertSignup))
	return a
}

// handler answers a request, or fails before it has begun to.
type handler func(http.ResponseWriter, *http.Request) error

func (a *API) handle(pattern string, answer handler) {
	a.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := answer(w, r); err != nil {
			refuse(w, asProblem(r, err))
		}
	})
}

func (a *API) limited(answer handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		select {
		case a.places <- struct{}{}:
			defer func() { <-a.places }()
			return answer(w, r)
		default:
			return problem{http.StatusServiceUnavailable, "too many requests at once", http.Header{"Retry-After": {"1"}}}
		}
	}
}

// Drain makes the service not ready; requests that still arrive are answered.
func (a *API) Drain() { a.draining.Store(true) }

// ServeHTTP finds the route of a request; paths that ServeMux would redirect have none.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, pattern := a.routes.Handler(r)
	switch {
	case !isClean(r.URL.Path):
		refuse(w, problem{status: http.StatusNotFound})
	case pattern != "":
		a.routes.ServeHTTP(w, r)
	default: // the mux's own answer, a 404 or a 405 with Allow, is text
		own := &headOnly{header: http.Header{}, status: http.StatusNotFound}
		route.ServeHTTP(own, r)
		refuse(w, problem{status: own.status, header: http.Header{"Allow": own.header["Allow"]}})
	}
}

func isClean(path string) bool {
	return path == slashpath.Clean(path) || path == slashpath.Clean(path)+"/"
}

type headOnly struct {
	header http.Header
	status int
}

func (h *headOnly) Header() http.Header            { return h.header }
func (h *headOnly) Write(body []byte) (int, error) { return len(body), nil }
func (h *headOnly) WriteHeader(status int)         { h.status = status }

func (a *API) createSignup(w http.ResponseWriter, r *http.Request) error {
	wanted, err := newSignup(w, r)
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(r.Context()) // a client that leaves now changes nothing
	if !a.flags.Enabled(ctx, "signups-open", true, "") {
		return problem{http.StatusServiceUnavailable, "sign-ups are closed", http.Header{"Retry-After": {"60"}}}
	}
	signup := signups.Signup{ID: uuid.New(), Email: wanted.Email, Plan: wanted.Plan}
	if err := a.store.Add(ctx, signup); err != nil {
		return err
	}
	telemetry.Count(ctx, "signups")
	a.active.Saw(signup.ID)
	a.upstream.Tell(ctx, wanted)
	w.Header().Set("Location", "/signups/"+signup.ID.String())
	return answer(w, http.StatusCreated, struct {
		signups.Signup
		Welcome bool `json:"welcome"`
	}{signup, a.flags.Enabled(ctx, "welcome", false, signup.ID.String())})
}

func (a *API) readSignup(w http.ResponseWriter, r *http.Request) error {
	id, err := signupID(r)
	if err != nil {
		return err
	}
	signup, err := a.store.Get(context.WithoutCancel(r.Context()), id)
	if err != nil {
		return err
	}
	a.active.Saw(id)
	return answer(w, http.StatusOK, signup)
}

func (a *API) convertSignup(w http.ResponseWriter, r *http.Request) error {
	id, err := signupID(r)
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(r.Context())
	signup, first, err := a.store.Convert(ctx, id)
	if err != nil {
		return err
	}
	if first {
		telemetry.Count(ctx, "conversions")
	}
	return answer(w, http.StatusOK, signup)
}

// signupID is the id in the path in its one written form; anything else is no sign-up's.
func signupID(r *http.Request) (uuid.UUID, error) {
	text := r.PathValue("id")
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return id, signups.ErrNotFound
	}
	return id, nil
}

func (a *API) readyz(w http.ResponseWriter, r *http.Request) error {
	if a.draining.Load() {
		return problem{status: http.StatusServiceUnavailable, text: "draining"}
	}
	if err := a.ready.ask(context.WithoutCancel(r.Context())); err != nil {
		return err
	}
	return alive(w, r)
}

func asProblem(r *http.Request, err error) problem {
	var known problem
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, signups.ErrNotFound):
		return problem{status: http.StatusNotFound}
	case errors.Is(err, signups.ErrUnreachable):
		return problem{http.StatusServiceUnavailable, "the store is unreachable", http.Header{"Retry-After": {"5"}}}
	default:
		slog.ErrorContext(r.Context(), "request failed", "error", err) // its type is logged
		return problem{status: http.StatusInternalServerError, text: "internal error"}
	}
}

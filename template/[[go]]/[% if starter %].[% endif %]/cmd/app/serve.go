package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"app/internal/api"
	"app/internal/flags"
	"app/internal/settings"
	"app/internal/stores"
	"app/internal/telemetry"
	"app/internal/upstream"
)

const (
	noticeTime    = time.Second            // what a load balancer needs to notice that the service is not ready
	quietTime     = 300 * time.Millisecond // without a request, open connections hold nothing up
	flushTime     = 3 * time.Second
	mostHeadBytes = 16 << 10
)

// serve answers requests until a signal ends it.
func serve(env settings.Environment) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	config, err := settings.Read(env)
	if err != nil {
		return err
	}
	store, err := stores.Open(env)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := telemetry.Start(config.ServiceName, config.LogLevel, config.BusinessMetrics); err != nil {
		return failed("telemetry does not start", err)
	}
	defer telemetry.Shutdown(flushTime)
	// The garbage collector works harder before the container's memory limit (at 90 % of it)
	// rather than being killed at it; an explicit GOMEMLIMIT wins.
	if _, err := memlimit.Set(); err != nil {
		slog.Warn("the memory limit cannot be read", "error", err)
	}
	upstream := upstream.New(config.UpstreamURL)
	defer upstream.Close()
	flags, err := flags.New(config.FlagsURL)
	if err != nil {
		return failed("feature flags do not start", err)
	}
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", config.Port))
	if err != nil {
		return failed("the port cannot be listened on", err)
	}
	service := &server{api: api.New(store, upstream, flags)}
	return service.run(listener, config.Drain, signals)
}

func failed(message string, err error) error {
	slog.Error(message, "error", err) // its type is logged
	return errFailed
}

// server knows which requests are running, and how to end in order.
type server struct {
	api      *api.API
	draining atomic.Bool
	running  atomic.Int64
}

func (s *server) run(listener net.Listener, drain time.Duration, signals <-chan os.Signal) error {
	handler := telemetry.Handler(s.api)
	web := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.running.Add(1)
			defer s.running.Add(-1)
			handler.ServeHTTP(&farewell{w, &s.draining, false}, r)
		}),
		ReadHeaderTimeout:            10 * time.Second,
		ReadTimeout:                  20 * time.Second,
		WriteTimeout:                 30 * time.Second,
		IdleTimeout:                  75 * time.Second,
		MaxHeaderBytes:               mostHeadBytes,
		DisableGeneralOptionsHandler: true,
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	slog.Info("listening", "server.port", listener.Addr().(*net.TCPAddr).Port)
	select {
	case err := <-served:
		return failed("the server stopped", err)
	case <-signals:
	}

	// Not ready at once, but answering for a moment more; every answer ends its connection.
	s.api.Drain()
	s.draining.Store(true)
	slog.Info("draining")
	select {
	case <-time.After(noticeTime):
	case <-signals: // a second one is in a hurry
	}
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	go s.closeWhenQuiet(ctx, web)
	if err := web.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		slog.Warn("requests were still running after the time to drain", "requests", s.running.Load())
		_ = web.Close() // the listener is closed already
	}
	slog.Info("stopped")
	return nil
}

// closeWhenQuiet closes connections on which no request came: Shutdown would wait 5 s for it.
func (s *server) closeWhenQuiet(ctx context.Context, web *http.Server) {
	quiet := time.Duration(0)
	for step := 20 * time.Millisecond; quiet < quietTime; quiet += step {
		select {
		case <-ctx.Done():
			return
		case <-time.After(step):
		}
		if s.running.Load() > 0 {
			quiet = 0
		}
	}
	_ = web.Close() // the listener is closed already
}

// farewell tells clients to close their connection while the service drains.
type farewell struct {
	http.ResponseWriter
	draining *atomic.Bool
	begun    bool
}

func (f *farewell) WriteHeader(status int) {
	if !f.begun && f.draining.Load() {
		f.Header().Set("Connection", "close")
	}
	f.begun = f.begun || status >= http.StatusOK
	f.ResponseWriter.WriteHeader(status)
}

func (f *farewell) Write(body []byte) (int, error) {
	if !f.begun {
		f.WriteHeader(http.StatusOK)
	}
	return f.ResponseWriter.Write(body)
}

// Unwrap lets http.ResponseController reach the connection.
func (f *farewell) Unwrap() http.ResponseWriter { return f.ResponseWriter }

package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const canary = "jane.canary@personal.example"

// logged gives the lines that are logged while something happens.
func logged(t *testing.T, level string, something func()) (lines []map[string]any) {
	t.Helper()
	before := slog.Default()
	var text bytes.Buffer
	slog.SetLogLoggerLevel(slog.LevelWarn)
	slog.SetDefault(slog.New(newOutput(&text, "demo", level, nil)))
	something()
	slog.SetDefault(before)
	if strings.Contains(text.String(), canary) {
		t.Errorf("the canary is logged: %s", &text)
	}
	for line := range bytes.Lines(text.Bytes()) {
		var parsed map[string]any
		if err := json.Unmarshal(line, &parsed); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lines = append(lines, parsed)
	}
	return lines
}

func TestALineHasTheKeysOfTheContract(t *testing.T) {
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(context.Background(), span)
	lines := logged(t, "info", func() {
		slog.DebugContext(ctx, "not this")
		slog.With("given", true).WithGroup("g").WarnContext(ctx, "text", "n", 1, slog.Group("h", "s", "x"))
	})
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	line := lines[0]
	if form := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`); !form.MatchString(line["timestamp"].(string)) {
		t.Errorf("timestamp %v", line["timestamp"])
	}
	delete(line, "timestamp")
	expected := map[string]any{
		"severity": "warn", "message": "text", "service.name": "demo",
		"trace_id": span.TraceID().String(), "span_id": span.SpanID().String(),
		"given": true, "g.n": 1.0, "g.h.s": "x",
	}
	if fmt.Sprint(line) != fmt.Sprint(expected) {
		t.Errorf("%v, not %v", line, expected)
	}
}

func TestOfAnErrorOnlyItsTypeIsLogged(t *testing.T) {
	lines := logged(t, "info", func() {
		slog.Error("failed", "error", fmt.Errorf("%s: %w", canary, &net.DNSError{Name: canary}))
	})
	if lines[0]["error.type"] != "net.DNSError" || lines[0]["error"] != nil {
		t.Errorf("%v", lines[0])
	}
	for name, err := range map[string]error{
		"timeout":          fmt.Errorf("late: %w", context.DeadlineExceeded),
		"error":            errors.New(canary),
		"json.SyntaxError": &json.SyntaxError{},
		"net.OpError":      &net.OpError{Op: "dial", Err: errors.New(canary)},
	} {
		if ErrorType(err) != name {
			t.Errorf("%T is %s, not %s", err, ErrorType(err), name)
		}
	}
}

func TestWhatALibraryLogsHasNoValues(t *testing.T) {
	lines := logged(t, "debug", func() {
		log.Printf("http: panic serving 203.0.113.77:80: %s", canary)
		log.Printf("http: panic serving 203.0.113.78:80: %s", canary) // the same within a minute
		log.Printf("odd answer: %q", canary)
	})
	var messages []string
	for _, line := range lines {
		messages = append(messages, line["severity"].(string)+" "+line["message"].(string))
	}
	if expected := []string{"warn http: panic serving", "warn odd answer:"}; !slices.Equal(messages, expected) {
		t.Errorf("%q, not %q", messages, expected)
	}
}

func TestAPanicIsAnsweredAndLoggedByItsFrames(t *testing.T) {
	handler := Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(canary) }))
	answer := httptest.NewRecorder()
	lines := logged(t, "info", func() {
		handler.ServeHTTP(answer, httptest.NewRequest("GET", "/"+canary, nil))
	})
	if answer.Code != 500 || answer.Body.String() != `{"error":"internal error"}` {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if len(lines) != 2 || lines[0]["severity"] != "error" || lines[0]["exception.type"] != "string" {
		t.Fatalf("%v", lines)
	}
	frames, _ := lines[0]["exception.stacktrace"].(string)
	if !strings.HasPrefix(frames, "app/internal/telemetry.TestAPanic") || !strings.Contains(frames, "telemetry_test.go:") {
		t.Errorf("frames %s", frames)
	}
	if lines[1]["message"] != "request" || lines[1]["http.response.status_code"] != 500.0 {
		t.Errorf("%v", lines[1])
	}
}

func TestHalfAnAnswerIsNotMadeWhole(t *testing.T) {
	logged(t, "info", func() {
		web := httptest.NewServer(Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			panic(canary)
		})))
		defer web.Close()
		response, err := http.Get(web.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if _, err := io.ReadAll(response.Body); err == nil {
			t.Error("the answer looks whole")
		}
	})
}

func TestASpanCarriesWhatIsAllowedOnly(t *testing.T) {
	keys := func(attributes []attribute.KeyValue) (names []string) {
		for _, one := range attributes {
			names = append(names, string(one.Key))
		}
		return names
	}
	stub := tracetest.SpanStub{
		SpanKind: trace.SpanKindServer,
		Attributes: []attribute.KeyValue{
			attribute.String("http.route", "/signups"), attribute.String("url.path", canary),
			attribute.String("server.address", canary), attribute.String("app.tier", "x"),
		},
		Events: []sdktrace.Event{
			{Name: canary},
			{Name: "exception", Attributes: []attribute.KeyValue{
				attribute.String("exception.type", "x"), attribute.String("exception.message", canary),
			}},
		},
		Links:  []sdktrace.Link{{Attributes: []attribute.KeyValue{attribute.String("x", canary)}}},
		Status: sdktrace.Status{Description: canary},
	}
	exporter := tracetest.NewInMemoryExporter()
	if err := (allowedOnly{exporter}).ExportSpans(t.Context(), tracetest.SpanStubs{stub}.Snapshots()); err != nil {
		t.Fatal(err)
	}
	sent := exporter.GetSpans()[0]
	if strings.Contains(fmt.Sprint(sent), canary) {
		t.Errorf("the canary is sent: %+v", sent)
	}
	if got := keys(sent.Attributes); !slices.Equal(got, []string{"http.route", "app.tier"}) {
		t.Errorf("attributes %v", got)
	}
	if len(sent.Events) != 1 || !slices.Equal(keys(sent.Events[0].Attributes), []string{"exception.type"}) {
		t.Errorf("events %+v", sent.Events)
	}
}

func TestOnlyTraceparentIsTakenInAndPassedOn(t *testing.T) {
	in := propagation.MapCarrier{
		"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"tracestate":  "vendor=canary", "baggage": "user=canary",
	}
	out := propagation.MapCarrier{}
	traceparentOnly{}.Inject(traceparentOnly{}.Extract(t.Context(), in), out)
	if len(out) != 1 || out["traceparent"] != in["traceparent"] {
		t.Errorf("passed on: %v", out)
	}
}

// TestEverySignalArrives comes last: it sets the process up for good.
func TestEverySignalArrives(t *testing.T) {
	var lock sync.Mutex
	received := map[string]string{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		lock.Lock()
		defer lock.Unlock()
		received[r.URL.Path] += string(body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "")
	t.Setenv("SERVICE_VERSION", "1.2.3")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	if err := Start("demo", "info", map[string]string{"signups": "counter", "active_users": "gauge"}); err != nil {
		t.Fatal(err)
	}
	Count(t.Context(), "signups")
	Count(t.Context(), "unknown")
	Gauge("active_users", func() int64 { return 7 })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /things/{id}", func(_ http.ResponseWriter, r *http.Request) {
		_, end := Span(r.Context(), "postgresql", "SELECT", "things")
		end(errors.New(canary))
	})
	request := httptest.NewRequest("GET", "/things/"+canary+"?mail="+canary, nil)
	request.Host = canary
	request.Header.Set("User-Agent", canary)
	request.Header.Set("X-Forwarded-For", canary)
	Handler(mux).ServeHTTP(httptest.NewRecorder(), request)
	Handler(mux).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/livez", nil))
	Shutdown(3 * time.Second)

	lock.Lock()
	defer lock.Unlock()
	for path, expected := range map[string][]string{
		"/v1/traces":  {"GET /things/{id}", "http.route", "SELECT things", "db.system.name", "1.2.3"},
		"/v1/metrics": {"http.server.request.duration", "http.server.active_requests", "app.signups", "app.active_users", "go.memory.used", "process.cpu.time", "deployment.environment.name"},
		"/v1/logs":    {"request", "http.response.status_code", "service.instance.id"},
	} {
		for _, text := range expected {
			if !strings.Contains(received[path], text) {
				t.Errorf("%s holds no %s", path, text)
			}
		}
		for _, text := range []string{canary, "url.path", "user_agent", "client.address", "livez", "body.size"} {
			if strings.Contains(received[path], text) {
				t.Errorf("%s holds %s", path, text)
			}
		}
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
}

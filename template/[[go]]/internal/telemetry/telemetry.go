// Package telemetry is what this service tells about itself: JSON logs, traces and metrics.
//
// The rest of the service logs through log/slog and needs only this:
//
//	Start        once, before anything logs (StartLogs where nothing is exported)
//	Handler      wraps the finished HTTP handler
//	Transport    traces what an HTTP client sends, and passes traceparent on
//	Span         a span around a call to a store
//	Count        counts one event of a counter named in BUSINESS_METRICS
//	Gauge        where to read a gauge named in BUSINESS_METRICS
//	ErrorType    what of an error may be told
//	Shutdown     sends what is left, in bounded time
//
// Nothing about a user leaves the process: attributes are allowed by name, everything else is
// dropped, and of an error only its type is kept, never its message. Standard variables (OTEL_*)
// configure the exporters; without OTEL_EXPORTER_OTLP_ENDPOINT nothing is sent, but ids and logs
// go on.
package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	goruntime "go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// What may leave the process --------------------------------------------------------------------

// Asked every few seconds: no telemetry.
var health = map[string]bool{"/livez": true, "/readyz": true, "/startupz": true}

var (
	httpAttributes = []attribute.Key{
		"http.request.method",
		"http.response.status_code",
		"http.route",
		"url.scheme",
		"network.protocol.version",
		"error.type",
	}
	// Of a request that comes in, server.address is the Host header, which a stranger writes.
	clientAttributes = []attribute.Key{"server.address", "server.port"}
	storeAttributes  = []attribute.Key{"db.system.name", "db.operation.name", "db.collection.name"}
)

// Instruments that are not listed here are dropped. Attributes of your own begin with "app.".
var instruments = map[string][]attribute.Key{
	"http.server.request.duration": httpAttributes,
	"http.server.active_requests":  {"http.request.method", "url.scheme"},
	"http.client.request.duration": slices.Concat(httpAttributes, clientAttributes),
	"process.*":                    {"cpu.mode"},
	"go.*":                         {"go.memory.type"},
	"app.*":                        {},
}

func allowedAttributes(kind trace.SpanKind) attribute.Filter {
	allowed := slices.Concat(httpAttributes, storeAttributes)
	if kind == trace.SpanKindClient {
		allowed = append(allowed, clientAttributes...)
	}
	return func(one attribute.KeyValue) bool {
		return slices.Contains(allowed, one.Key) || strings.HasPrefix(string(one.Key), "app.")
	}
}

// allowedMetrics is the view through which every instrument is seen.
func allowedMetrics(instrument sdkmetric.Instrument) (sdkmetric.Stream, bool) {
	stream := sdkmetric.Stream{Name: instrument.Name, Description: instrument.Description, Unit: instrument.Unit}
	keys, found := instruments[instrument.Name]
	if !found {
		family, _, _ := strings.Cut(instrument.Name, ".")
		keys, found = instruments[family+".*"]
	}
	if !found {
		stream.Aggregation = sdkmetric.AggregationDrop{}
	}
	stream.AttributeFilter = attribute.NewAllowKeysFilter(keys...)
	stream.ExemplarReservoirProviderSelector = bareExemplars
	return stream, true
}

// bareExemplars keeps of a measurement its value and trace: by default an exemplar carries the
// attributes that the filter has dropped.
func bareExemplars(aggregation sdkmetric.Aggregation) exemplar.ReservoirProvider {
	provider := sdkmetric.DefaultExemplarReservoirProviderSelector(aggregation)
	return func(kept attribute.Set) exemplar.Reservoir { return bare{provider(kept)} }
}

type bare struct{ exemplar.Reservoir }

func (b bare) Offer(ctx context.Context, at time.Time, value exemplar.Value, _ []attribute.KeyValue) {
	b.Reservoir.Offer(ctx, at, value, nil)
}

// allowedOnly passes spans on with the attributes that are allowed by name, and nothing else.
type allowedOnly struct{ sdktrace.SpanExporter }

func (e allowedOnly) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	allowed := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		allowed[i] = allowedSpan{span}
	}
	return e.SpanExporter.ExportSpans(ctx, allowed)
}

type allowedSpan struct{ sdktrace.ReadOnlySpan }

func (s allowedSpan) Attributes() []attribute.KeyValue {
	return filtered(s.ReadOnlySpan.Attributes(), allowedAttributes(s.SpanKind()))
}

func (s allowedSpan) Events() []sdktrace.Event {
	var events []sdktrace.Event
	for _, event := range s.ReadOnlySpan.Events() {
		if event.Name == "exception" {
			event.Attributes = filtered(event.Attributes, attribute.NewAllowKeysFilter("exception.type"))
			events = append(events, event)
		}
	}
	return events
}

func (s allowedSpan) Links() []sdktrace.Link {
	links := slices.Clone(s.ReadOnlySpan.Links())
	for i := range links {
		links[i].Attributes = nil
	}
	return links
}

// Status is without its description, which quotes the error.
func (s allowedSpan) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}

func filtered(attributes []attribute.KeyValue, keep attribute.Filter) []attribute.KeyValue {
	var kept []attribute.KeyValue
	for _, one := range attributes {
		if keep(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

// traceparentOnly takes in and passes on nothing but traceparent: baggage and tracestate would
// carry a stranger's bytes further.
type traceparentOnly struct{ propagation.TraceContext }

func (p traceparentOnly) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	return p.TraceContext.Extract(ctx, withoutState{carrier})
}

type withoutState struct{ propagation.TextMapCarrier }

func (c withoutState) Get(key string) string {
	if key == "tracestate" {
		return ""
	}
	return c.TextMapCarrier.Get(key)
}

// ErrorType names what kind of error this is, as the attribute error.type wants it. The message
// of an error may quote a user and is never told.
func ErrorType(err error) string {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	var database interface{ SQLState() string }
	if errors.As(err, &database) {
		return database.SQLState()
	}
	kind := ""
	for ; err != nil; err = errors.Unwrap(err) {
		switch name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*"); name {
		case "errors.errorString", "fmt.wrapError", "os.SyscallError", "syscall.Errno": // say nothing more
		default:
			kind = name
		}
	}
	if kind == "" {
		return "error"
	}
	return kind
}

// Logs ------------------------------------------------------------------------------------------

var levels = map[string]slog.Level{
	"error": slog.LevelError, "warn": slog.LevelWarn, "info": slog.LevelInfo, "debug": slog.LevelDebug,
}

func severity(level slog.Level) (string, otellog.Severity) {
	switch {
	case level >= slog.LevelError:
		return "error", otellog.SeverityError
	case level >= slog.LevelWarn:
		return "warn", otellog.SeverityWarn
	case level >= slog.LevelInfo:
		return "info", otellog.SeverityInfo
	default:
		return "debug", otellog.SeverityDebug
	}
}

// output writes each record as one JSON object on stdout, and sends it by OTLP.
type output struct {
	level   slog.Level
	json    slog.Handler
	otlp    otellog.Logger // nil: stdout only
	repeats *repeats
	given   []slog.Attr // by With
	group   string      // by WithGroup, as a prefix
}

func newOutput(to io.Writer, serviceName, level string, otlp otellog.Logger) *output {
	json := slog.NewJSONHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: contractKey})
	return &output{
		level:   levels[level],
		json:    json.WithAttrs([]slog.Attr{slog.String("service.name", serviceName)}),
		otlp:    otlp,
		repeats: &repeats{said: map[string]time.Time{}},
	}
}

func contractKey(groups []string, attr slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case attr.Key == slog.TimeKey && attr.Value.Kind() == slog.KindTime:
		return slog.String("timestamp", attr.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
	case attr.Key == slog.LevelKey:
		if level, ok := attr.Value.Any().(slog.Level); ok {
			text, _ := severity(level)
			return slog.String("severity", text)
		}
	case attr.Key == slog.MessageKey:
		attr.Key = "message"
	}
	return attr
}

func (o *output) Enabled(_ context.Context, level slog.Level) bool { return level >= o.level }

func (o *output) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *o
	more.given = slices.Clone(o.given)
	for _, attr := range attrs {
		more.given = flat(more.given, o.group, attr)
	}
	return &more
}

func (o *output) WithGroup(name string) slog.Handler {
	more := *o
	more.group = o.group + name + "."
	return &more
}

func (o *output) Handle(ctx context.Context, record slog.Record) error {
	message, attrs := record.Message, slices.Clone(o.given)
	record.Attrs(func(attr slog.Attr) bool {
		attrs = flat(attrs, o.group, attr)
		return true
	})
	if !isOwn(record.PC) { // libraries quote values and addresses: what matters only, and no value
		message, attrs = withoutValues(message), nil
		if record.Level < slog.LevelWarn || o.repeats.again(message) {
			return nil
		}
	}
	if o.otlp != nil {
		o.send(ctx, record, message, attrs)
	}
	line := slog.NewRecord(record.Time, record.Level, message, 0)
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		line.AddAttrs(
			slog.String("trace_id", span.TraceID().String()),
			slog.String("span_id", span.SpanID().String()),
		)
	}
	line.AddAttrs(attrs...)
	return o.json.Handle(ctx, line)
}

func (o *output) send(ctx context.Context, record slog.Record, message string, attrs []slog.Attr) {
	text, number := severity(record.Level)
	var sent otellog.Record
	sent.SetTimestamp(record.Time)
	sent.SetSeverity(number)
	sent.SetSeverityText(text)
	sent.SetBody(attribute.StringValue(message))
	for _, attr := range attrs {
		sent.AddAttributes(keyValue(attr))
	}
	o.otlp.Emit(ctx, sent)
}

func keyValue(attr slog.Attr) attribute.KeyValue {
	switch attr.Value.Kind() {
	case slog.KindBool:
		return attribute.Bool(attr.Key, attr.Value.Bool())
	case slog.KindInt64:
		return attribute.Int64(attr.Key, attr.Value.Int64())
	case slog.KindFloat64:
		return attribute.Float64(attr.Key, attr.Value.Float64())
	default:
		return attribute.String(attr.Key, attr.Value.String())
	}
}

// flat appends an attribute without groups; an error becomes its type.
func flat(attrs []slog.Attr, prefix string, attr slog.Attr) []slog.Attr {
	value := attr.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if attr.Key != "" {
			prefix += attr.Key + "."
		}
		for _, inner := range value.Group() {
			attrs = flat(attrs, prefix, inner)
		}
		return attrs
	}
	if err, ok := value.Any().(error); ok {
		return append(attrs, slog.String("error.type", ErrorType(err)))
	}
	if attr.Equal(slog.Attr{}) {
		return attrs
	}
	return append(attrs, slog.Attr{Key: prefix + attr.Key, Value: value})
}

// isOwn says whether code of this module logs; what package log passes on has no caller.
func isOwn(pc uintptr) bool {
	if pc == 0 {
		return false
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return strings.HasPrefix(frame.Function, "main.") || strings.HasPrefix(frame.Function, module)
}

var module = func() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Path + "/"
	}
	return "app/"
}()

// withoutValues cuts a library's message where it begins to quote.
func withoutValues(message string) string {
	if at := strings.IndexAny(message, "0123456789\"'`@\r\n"); at >= 0 {
		message = message[:at]
	}
	return strings.TrimSpace(message[:min(len(message), 200)])
}

// repeats remembers what was said within the last minute.
type repeats struct {
	lock sync.Mutex
	said map[string]time.Time
}

func (r *repeats) again(message string) bool {
	r.lock.Lock()
	defer r.lock.Unlock()
	if last, ok := r.said[message]; ok && time.Since(last) < time.Minute {
		return true
	}
	if len(r.said) >= 100 {
		clear(r.said)
	}
	r.said[message] = time.Now()
	return false
}

// StartLogs makes every log record one JSON line on stdout; Start does this too.
func StartLogs(serviceName, level string) { startLogs(serviceName, level, nil) }

func startLogs(serviceName, level string, otlp otellog.Logger) {
	slog.SetLogLoggerLevel(slog.LevelWarn) // what libraries say through package log
	slog.SetDefault(slog.New(newOutput(os.Stdout, serviceName, level, otlp)))
	// Trouble with the export must not become more to export.
	local := newOutput(os.Stdout, serviceName, level, nil)
	otel.SetLogger(logr.FromSlogHandler(local))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if !local.repeats.again("export") {
			slog.New(local).Warn("telemetry cannot be sent", "error.type", ErrorType(err))
		}
	}))
}

// Start and stop --------------------------------------------------------------------------------

var (
	stops    []func(context.Context) error
	counters = map[string]metric.Int64Counter{}
	gauges   sync.Map // of func() int64, by name
)

// Start sets up logs, traces and metrics for this process.
func Start(serviceName, level string, businessMetrics map[string]string) error {
	for _, variable := range os.Environ() { // an empty variable means absent
		if name, value, _ := strings.Cut(variable, "="); value == "" && strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	ctx := context.Background()
	_, exporting := os.LookupEnv("OTEL_EXPORTER_OTLP_ENDPOINT")
	startLogs(serviceName, level, nil) // what goes wrong from here on is a JSON line already
	otel.SetTextMapPropagator(traceparentOnly{})

	described := []attribute.KeyValue{attribute.String("service.instance.id", uuid.NewString())}
	if version := os.Getenv("SERVICE_VERSION"); version != "" { // the image's; the environment may know better
		described = append(described, attribute.String("service.version", version))
	}
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(described...),
		resource.WithFromEnv(),
		resource.WithAttributes(attribute.String("service.name", serviceName)),
	)
	if err != nil {
		return fmt.Errorf("resource: %w", err)
	}

	traces := []sdktrace.TracerProviderOption{sdktrace.WithResource(about)}
	meters := []sdkmetric.Option{sdkmetric.WithResource(about), sdkmetric.WithView(allowedMetrics)}
	if exporting {
		spans, err := otlptracehttp.New(ctx)
		if err != nil {
			return fmt.Errorf("traces: %w", err)
		}
		points, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		traces = append(traces, sdktrace.WithBatcher(allowedOnly{spans}))
		meters = append(meters, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points)))
	}
	tracerProvider := sdktrace.NewTracerProvider(traces...)
	otel.SetTracerProvider(tracerProvider)
	meterProvider := sdkmetric.NewMeterProvider(meters...)
	otel.SetMeterProvider(meterProvider)
	stops = []func(context.Context) error{tracerProvider.Shutdown, meterProvider.Shutdown}

	if exporting && os.Getenv("OTEL_LOGS_EXPORTER") != "none" {
		records, err := otlploghttp.New(ctx)
		if err != nil {
			return fmt.Errorf("logs: %w", err)
		}
		loggers := sdklog.NewLoggerProvider(
			sdklog.WithResource(about),
			sdklog.WithProcessor(sdklog.NewBatchProcessor(records)),
		)
		stops = append(stops, loggers.Shutdown)
		startLogs(serviceName, level, loggers.Logger("app"))
	}
	return startMetrics(businessMetrics)
}

func startMetrics(businessMetrics map[string]string) error {
	meter := otel.Meter("app")
	if err := errors.Join(goruntime.Start(), observeProcess(meter)); err != nil {
		return err
	}
	for name, kind := range businessMetrics {
		if kind == "counter" {
			counter, err := meter.Int64Counter("app." + name)
			if err != nil {
				return err
			}
			counter.Add(context.Background(), 0) // a rate needs a value before the first event
			counters[name] = counter
			continue
		}
		_, err := meter.Int64ObservableGauge("app."+name, metric.WithInt64Callback(
			func(_ context.Context, observer metric.Int64Observer) error {
				value := int64(0)
				if read, ok := gauges.Load(name); ok {
					value = read.(func() int64)()
				}
				observer.Observe(value)
				return nil
			}))
		if err != nil {
			return err
		}
	}
	return nil
}

// observeProcess adds to the runtime's own metrics (go.*) what the kernel counts.
func observeProcess(meter metric.Meter) error {
	cpu, err := meter.Float64ObservableCounter("process.cpu.time", metric.WithUnit("s"))
	if err != nil {
		return err
	}
	memory, err := meter.Int64ObservableUpDownCounter("process.memory.usage", metric.WithUnit("By"))
	if err != nil {
		return err
	}
	user := metric.WithAttributes(attribute.String("cpu.mode", "user"))
	system := metric.WithAttributes(attribute.String("cpu.mode", "system"))
	_, err = meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		stat, err := os.ReadFile("/proc/self/stat")
		if err != nil {
			return nil // not Linux
		}
		// The program's name, in brackets, may hold blanks; the numbers come after it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		number := func(field int) int64 { // as proc(5) counts them
			value, _ := strconv.ParseInt(fields[field-3], 10, 64)
			return value
		}
		observer.ObserveFloat64(cpu, float64(number(14))/100, user) // in hundredths of a second
		observer.ObserveFloat64(cpu, float64(number(15))/100, system)
		observer.ObserveInt64(memory, number(24)*int64(os.Getpagesize()))
		return nil
	}, cpu, memory)
	return err
}

// Shutdown sends what is left, and gives up in time, as when the collector is gone.
func Shutdown(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var all sync.WaitGroup
	for _, stop := range stops {
		all.Go(func() { _ = stop(ctx) }) // the exporters have said what is wrong
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// HTTP ------------------------------------------------------------------------------------------

// Handler adds to a handler its span and metrics (http.server.*), the access log, the header
// traceresponse, and the answer and log line of a panic.
func Handler(next http.Handler) http.Handler {
	traced := otelhttp.NewHandler(observed{next}, "")
	active, err := otel.Meter("app").Int64UpDownCounter("http.server.active_requests", metric.WithUnit("{request}"))
	if err != nil {
		otel.Handle(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if health[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		now := metric.WithAttributes(
			attribute.String("http.request.method", method(r)), attribute.String("url.scheme", "http"))
		active.Add(r.Context(), 1, now)
		defer active.Add(r.Context(), -1, now)
		traced.ServeHTTP(w, r)
	})
}

type observed struct{ next http.Handler }

func (o observed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	span := trace.SpanContextFromContext(r.Context())
	w.Header().Set("traceresponse",
		fmt.Sprintf("00-%s-%s-%s", span.TraceID(), span.SpanID(), span.TraceFlags()))
	answer := &answer{ResponseWriter: w}
	defer func() {
		torn := false
		if cause := recover(); cause != nil {
			torn = answer.status != 0 || cause == http.ErrAbortHandler
			panicked(r, cause)
			if !torn {
				answer.Header().Set("Content-Type", "application/json")
				answer.WriteHeader(http.StatusInternalServerError)
				_, _ = io.WriteString(answer, `{"error":"internal error"}`)
			}
		}
		o.finish(r, answer, time.Since(started))
		if torn { // half an answer must not look like a whole one
			panic(http.ErrAbortHandler)
		}
	}()
	o.next.ServeHTTP(answer, r)
}

// finish tells the span, the metric and the log how the request went.
func (observed) finish(r *http.Request, answer *answer, took time.Duration) {
	status := answer.status
	if status == 0 {
		status = http.StatusOK
	}
	attrs := request(r)
	span := trace.SpanFromContext(r.Context())
	if route := route(r); route != "" {
		span.SetAttributes(attribute.String("http.route", route))
	}
	if status >= http.StatusInternalServerError {
		failed := attribute.String("error.type", strconv.Itoa(status))
		span.SetAttributes(failed)
		if labels, ok := otelhttp.LabelerFromContext(r.Context()); ok {
			labels.Add(failed)
		}
	}
	attrs = append(attrs,
		slog.Int("http.response.status_code", status),
		slog.Float64("duration_seconds", float64(took.Microseconds())/1e6))
	slog.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
}

// panicked tells where a handler panicked and with what type of value, never with which value.
func panicked(r *http.Request, cause any) {
	kind := fmt.Sprintf("%T", cause)
	if err, ok := cause.(error); ok {
		kind = ErrorType(err)
	}
	trace.SpanFromContext(r.Context()).AddEvent("exception",
		trace.WithAttributes(attribute.String("exception.type", kind)))
	attrs := append(request(r), slog.String("exception.type", kind), slog.String("exception.stacktrace", frames()))
	slog.LogAttrs(r.Context(), slog.LevelError, "request failed", attrs...)
}

// frames lists the functions that led to the panic that is being recovered from.
func frames() string {
	var text strings.Builder
	callers := make([]uintptr, 64)
	stack := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = stack.Next()
		switch frame.Function {
		case "runtime.gopanic", "runtime.sigpanic": // what came before is the recovery
			text.Reset()
		default:
			fmt.Fprintf(&text, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
		}
	}
	return text.String()
}

func request(r *http.Request) []slog.Attr {
	attrs := []slog.Attr{slog.String("http.request.method", method(r))}
	if route := route(r); route != "" {
		attrs = append(attrs, slog.String("http.route", route))
	}
	return attrs
}

// route is the path of the pattern that the request matched.
func route(r *http.Request) string {
	if at := strings.IndexByte(r.Pattern, '/'); at >= 0 {
		return r.Pattern[at:]
	}
	return ""
}

func method(r *http.Request) string {
	switch r.Method {
	case "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE":
		return r.Method
	default:
		return "_OTHER"
	}
}

// answer remembers the status.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(body []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(body)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Transport traces and measures what is sent through it, and passes traceparent on.
func Transport(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(base, otelhttp.WithSpanNameFormatter(
		func(_ string, r *http.Request) string { return r.Method }))
}

// The service's own -----------------------------------------------------------------------------

// Span traces a call to a store; the function that it returns ends the span, with the call's error.
// With the store's host it shows, as server.address, which of several stores was asked.
func Span(ctx context.Context, system, operation, collection string, host ...string) (context.Context, func(error)) {
	name := operation
	attributes := []attribute.KeyValue{
		attribute.String("db.system.name", system),
		attribute.String("db.operation.name", operation),
	}
	for _, one := range host {
		attributes = append(attributes, attribute.String("server.address", one))
	}
	if collection != "" {
		name += " " + collection
		attributes = append(attributes, attribute.String("db.collection.name", collection))
	}
	ctx, span := otel.Tracer("app").Start(ctx, name,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return ctx, func(err error) {
		if err != nil {
			span.SetAttributes(attribute.String("error.type", ErrorType(err)))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Count counts one event; a name that BUSINESS_METRICS does not list is not counted.
func Count(ctx context.Context, name string) {
	if counter, ok := counters[name]; ok {
		counter.Add(ctx, 1)
	}
}

// Gauge says where the value of a gauge comes from; until then it is 0.
func Gauge(name string, read func() int64) { gauges.Store(name, read) }

// Package settings reads the configuration: environment variables and mounted files, nothing else.
package settings

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Settings is what every part of the service may need; a store reads its own variables.
type Settings struct {
	Port            int
	ServiceName     string
	LogLevel        string
	Drain           time.Duration
	BusinessMetrics map[string]string // name to counter or gauge
	UpstreamURL     string            // without a slash last; empty: none
	FlagsURL        string            // empty: the code's defaults
}

// Read reads and checks the environment.
func Read(env Environment) (Settings, error) {
	r := NewReader(env)
	r.checkTelemetry()
	read := Settings{
		Port:            r.Port(),
		ServiceName:     r.serviceName(),
		LogLevel:        r.OneOf("LOG_LEVEL", "error", "warn", "info", "debug"),
		Drain:           time.Duration(r.WholeNumber("SHUTDOWN_DRAIN_SECONDS", "whole seconds", 0, 3600)) * time.Second,
		BusinessMetrics: r.businessMetrics(),
		UpstreamURL:     r.OptionalURL("UPSTREAM_URL"),
		FlagsURL:        r.OptionalURL("FLAGS_URL"),
	}
	return read, r.Err()
}

// Environment gives the value of a variable, as os.Getenv does: empty means absent.
type Environment func(name string) string

// Error says which variable is missing or malformed, and what is accepted.
type Error struct{ Name, Problem string }

func (e *Error) Error() string { return "configuration: " + e.Name + ": " + e.Problem }

// ErrEmptySecret means that a file that should hold a secret is empty, as while it is replaced.
var ErrEmptySecret = errors.New("the secret is empty")

// Reader reads variables; the first that is wrong is its error.
type Reader struct {
	env Environment
	err error
}

// NewReader starts to read an environment.
func NewReader(env Environment) *Reader { return &Reader{env: env} }

// Err is an *Error about the first variable that was missing or malformed.
func (r *Reader) Err() error { return r.err }

func (r *Reader) fail(name, format string, values ...any) {
	if r.err == nil {
		r.err = &Error{name, fmt.Sprintf(format, values...)}
	}
}

// Required reads a variable that must be set.
func (r *Reader) Required(name, accepted string) (string, bool) {
	value := r.env(name)
	if value == "" {
		r.fail(name, "missing; set %s", accepted)
	}
	return value, value != ""
}

var digits = regexp.MustCompile(`^[0-9]{1,9}$`)

// WholeNumber reads a whole number within bounds.
func (r *Reader) WholeNumber(name, noun string, lowest, highest int) int {
	accepted := fmt.Sprintf("%s from %d to %d", noun, lowest, highest)
	value, set := r.Required(name, accepted)
	if !set {
		return 0
	}
	number, err := strconv.Atoi(value)
	if err != nil || !digits.MatchString(value) || number < lowest || number > highest {
		r.fail(name, "%s is not %s", quoted(value), accepted)
	}
	return number
}

// OneOf reads one of a few words.
func (r *Reader) OneOf(name string, choices ...string) string {
	accepted := "one of " + strings.Join(choices, ", ")
	value, set := r.Required(name, accepted)
	if set && !slices.Contains(choices, value) {
		r.fail(name, "%s is not %s", quoted(value), accepted)
	}
	return value
}

// Port reads the port to listen on.
func (r *Reader) Port() int { return r.WholeNumber("PORT", "a port number", 1, 65535) }

var label = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (r *Reader) serviceName() string {
	const name = "OTEL_SERVICE_NAME"
	value, set := r.Required(name, "the name of the service")
	if set && !label.MatchString(value) {
		r.fail(name, "%s is not a DNS label: lower-case letters, digits and dashes, at most 63", quoted(value))
	}
	return value
}

var metricName = regexp.MustCompile(`^[a-z][a-z0-9_.]*$`)

// businessMetrics reads signups=counter,active_users=gauge; may be empty.
func (r *Reader) businessMetrics() map[string]string {
	found := map[string]string{}
	for item := range strings.SplitSeq(r.env("BUSINESS_METRICS"), ",") {
		name, kind, _ := strings.Cut(item, "=")
		switch {
		case item == "":
		case metricName.MatchString(name) && (kind == "counter" || kind == "gauge"):
			found[name] = kind
		default:
			r.fail("BUSINESS_METRICS", "%s is not name=counter or name=gauge", quoted(item))
		}
	}
	return found
}

// OptionalURL reads an http URL, without its trailing slash. Its value is never printed.
func (r *Reader) OptionalURL(name string) string {
	if r.env(name) == "" {
		return ""
	}
	return strings.TrimRight(r.URL(name, "http", "https"), "/")
}

// URL reads a URL with a host and without a password. Its value is never printed.
func (r *Reader) URL(name string, schemes ...string) string {
	accepted := fmt.Sprintf("a %s URL with a host", strings.Join(schemes, " or "))
	value, set := r.Required(name, accepted)
	if !set {
		return ""
	}
	parts, err := url.Parse(value)
	if err != nil || !slices.Contains(schemes, parts.Scheme) || parts.Hostname() == "" ||
		!goodPort(parts.Port()) || !printable(value) || strings.Contains(value, " ") {
		r.fail(name, "is not %s", accepted)
		return ""
	}
	if _, holds := parts.User.Password(); holds {
		r.fail(name, "holds a password; put it in a file of its own")
	}
	return value
}

func goodPort(port string) bool {
	number, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && number > 0
}

// SecretFile reads the path of a file that holds a secret, and tries to read the file.
func (r *Reader) SecretFile(name string) string {
	path, set := r.Required(name, "the path of a file that holds the secret")
	if !set {
		return ""
	}
	shown := path
	if !printable(path) || len(path) > 200 {
		shown = quoted(path)
	}
	switch _, err := Secret(path); {
	case errors.Is(err, ErrEmptySecret):
		r.fail(name, "%s is empty", shown)
	case err != nil:
		r.fail(name, "%s cannot be read", shown)
	}
	return path
}

// Secret reads a file without the newline that ends it.
func Secret(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", ErrEmptySecret
	}
	return secret, nil
}

// checkTelemetry checks what OpenTelemetry reads itself: it would start without saying a word.
func (r *Reader) checkTelemetry() {
	r.OptionalURL("OTEL_EXPORTER_OTLP_ENDPOINT")
	if r.env("OTEL_METRIC_EXPORT_INTERVAL") != "" {
		r.WholeNumber("OTEL_METRIC_EXPORT_INTERVAL", "milliseconds", 100, 3_600_000)
	}
	if r.env("OTEL_LOGS_EXPORTER") != "" {
		r.OneOf("OTEL_LOGS_EXPORTER", "otlp", "none")
	}
	if r.env("OTEL_TRACES_SAMPLER") != "" {
		r.OneOf("OTEL_TRACES_SAMPLER", "always_on", "always_off", "traceidratio",
			"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")
	}
	const ratio = "OTEL_TRACES_SAMPLER_ARG"
	if value := r.env(ratio); value != "" && !ratioForm.MatchString(value) {
		r.fail(ratio, "%s is not a ratio from 0 to 1", quoted(value))
	}
}

var ratioForm = regexp.MustCompile(`^(0(\.[0-9]+)?|1(\.0+)?)$`)

func printable(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r >= utf8.RuneSelf || !unicode.IsPrint(r) })
}

// quoted is a value on one line, shortened.
func quoted(value string) string {
	if utf8.RuneCountInString(value) > 60 {
		value = string([]rune(value)[:60]) + "..."
	}
	return strconv.QuoteToASCII(value)
}

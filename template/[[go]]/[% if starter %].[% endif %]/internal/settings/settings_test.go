package settings_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"app/internal/settings"
)

var valid = map[string]string{
	"PORT":                   "8080",
	"OTEL_SERVICE_NAME":      "demo",
	"LOG_LEVEL":              "info",
	"SHUTDOWN_DRAIN_SECONDS": "20",
	"BUSINESS_METRICS":       "signups=counter,active_users=gauge",
}

func environment(changes map[string]string) settings.Environment {
	variables := maps.Clone(valid)
	maps.Copy(variables, changes)
	return func(name string) string { return variables[name] }
}

func TestAValidEnvironmentIsRead(t *testing.T) {
	read, err := settings.Read(environment(map[string]string{"UPSTREAM_URL": "http://next:8080/", "FLAGS_URL": ""}))
	if err != nil {
		t.Fatal(err)
	}
	if read.Port != 8080 || read.Drain.Seconds() != 20 || read.LogLevel != "info" || read.ServiceName != "demo" {
		t.Errorf("read %+v", read)
	}
	if read.UpstreamURL != "http://next:8080" || read.FlagsURL != "" {
		t.Errorf("addresses %q and %q", read.UpstreamURL, read.FlagsURL)
	}
	if !maps.Equal(read.BusinessMetrics, map[string]string{"signups": "counter", "active_users": "gauge"}) {
		t.Errorf("metrics %v", read.BusinessMetrics)
	}
}

func TestAWrongValueIsNamedWithWhatIsAccepted(t *testing.T) {
	for _, test := range []struct{ name, value, problem string }{
		{"PORT", "", "missing; set a port number from 1 to 65535"},
		{"PORT", "80x", `"80x" is not a port number from 1 to 65535`},
		{"PORT", "0", `"0" is not a port number from 1 to 65535`},
		{"PORT", "65536", `"65536" is not a port number from 1 to 65535`},
		{"PORT", "+80", `"+80" is not a port number from 1 to 65535`},
		{"PORT", "80\n81", `"80\n81" is not a port number from 1 to 65535`},
		{"LOG_LEVEL", "", "missing; set one of error, warn, info, debug"},
		{"LOG_LEVEL", "INFO", `"INFO" is not one of error, warn, info, debug`},
		{"SHUTDOWN_DRAIN_SECONDS", "1.5", `"1.5" is not whole seconds from 0 to 3600`},
		{"OTEL_SERVICE_NAME", "", "missing; set the name of the service"},
		{"OTEL_SERVICE_NAME", "-demo", `"-demo" is not a DNS label: lower-case letters, digits and dashes, at most 63`},
		{"BUSINESS_METRICS", "a=count", `"a=count" is not name=counter or name=gauge`},
		{"OTEL_METRIC_EXPORT_INTERVAL", "soon", `"soon" is not milliseconds from 100 to 3600000`},
		{"OTEL_LOGS_EXPORTER", "console", `"console" is not one of otlp, none`},
		{"OTEL_TRACES_SAMPLER_ARG", "2", `"2" is not a ratio from 0 to 1`},
		{"UPSTREAM_URL", "next:8080", "is not a http or https URL with a host"},
		{"UPSTREAM_URL", "http://", "is not a http or https URL with a host"},
		{"FLAGS_URL", "ftp://canary", "is not a http or https URL with a host"},
		{"FLAGS_URL", "http://canary:port", "is not a http or https URL with a host"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:canary@h/", "holds a password; put it in a file of its own"},
	} {
		_, err := settings.Read(environment(map[string]string{test.name: test.value}))
		if expected := "configuration: " + test.name + ": " + test.problem; err == nil || err.Error() != expected {
			t.Errorf("%s=%q: %v, not %s", test.name, test.value, err, expected)
		}
	}
}

func TestASecretFileThatCannotBeReadOrIsEmptyIsNamed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, problem := range map[string]string{
		"":              "missing; set the path of a file that holds the secret",
		empty:           empty + " is empty",
		empty + "/none": empty + "/none cannot be read",
	} {
		r := settings.NewReader(func(string) string { return path })
		r.SecretFile("X")
		var wrong *settings.Error
		if !errors.As(r.Err(), &wrong) || wrong.Problem != problem {
			t.Errorf("%q: %v, not %s", path, r.Err(), problem)
		}
	}
}

func TestALongValueIsShortened(t *testing.T) {
	_, err := settings.Read(environment(map[string]string{"PORT": strings.Repeat("9", 1000)}))
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("%v", err)
	}
}

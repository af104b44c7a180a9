package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test's own program be the service, as a process with signals and exit codes.
func TestMain(m *testing.M) {
	if os.Getenv("BE_THE_SERVICE") != "" {
		os.Exit(run(os.Args[1:], os.Getenv))
	}
	os.Exit(m.Run())
}

type process struct {
	*exec.Cmd
	t      *testing.T
	url    string
	output bytes.Buffer
	errors bytes.Buffer
}

func program(t *testing.T, changes map[string]string, arguments ...string) *process {
	t.Helper()
	variables := map[string]string{
		"BE_THE_SERVICE": "1", "PORT": fmt.Sprint(freePort(t)), "OTEL_SERVICE_NAME": "demo",
		"SHUTDOWN_DRAIN_SECONDS": "5", "LOG_LEVEL": "info",
		// Of stores that are in the code; nobody serves there.
		"DATABASE_URL": "postgresql://app@127.0.0.1:9/app", "DATABASE_PASSWORD_FILE": "/etc/hostname",
		"CACHE_URL": "redis://127.0.0.1:9/0",
		"GORACE":    "atexit_sleep_ms=0", // under -race a process would sleep for a second at its end
	}
	maps.Copy(variables, changes)
	p := &process{Cmd: exec.Command(os.Args[0], arguments...), t: t, url: "http://127.0.0.1:" + variables["PORT"]}
	for name, value := range variables {
		p.Env = append(p.Env, name+"="+value)
	}
	p.Stdout, p.Stderr = &p.output, &p.errors
	return p
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func (p *process) start() {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = p.Process.Kill() })
	for range 250 {
		if p.status("/startupz") == http.StatusOK {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Fatal("it does not start")
}

func (p *process) status(path string) int {
	response, err := http.Get(p.url + path)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

func (p *process) signup() int {
	response, err := http.Post(p.url+"/signups", "application/json", strings.NewReader(`{"email":"ada@example.com"}`))
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

func (p *process) signal() {
	p.t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) exitCode() int {
	_ = p.Wait() // the code says it
	return p.ProcessState.ExitCode()
}

func TestAWrongValueStopsTheStartWithOneLine(t *testing.T) {
	for _, arguments := range [][]string{nil, {"healthcheck"}} {
		p := program(t, map[string]string{"PORT": "80x"}, arguments...)
		_ = p.Run()
		const line = `configuration: PORT: "80x" is not a port number from 1 to 65535` + "\n"
		if p.exitCode() != 2 || p.errors.String() != line || p.output.Len() > 0 {
			t.Errorf("%v: exit code %d, %s%s", arguments, p.exitCode(), &p.errors, &p.output)
		}
	}
}

func TestAnUnknownProgramIsRefused(t *testing.T) {
	p := program(t, nil, "shell")
	_ = p.Run()
	if p.exitCode() != 2 || !strings.HasPrefix(p.errors.String(), "usage: app [healthcheck") {
		t.Errorf("exit code %d, %s", p.exitCode(), &p.errors)
	}
}

func TestAPortInUseIsOneLine(t *testing.T) {
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := program(t, map[string]string{"PORT": fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)})
	_ = p.Run()
	if p.exitCode() != 1 || !strings.Contains(p.output.String(), `"the port cannot be listened on"`) {
		t.Errorf("exit code %d, %s%s", p.exitCode(), &p.output, &p.errors)
	}
}

func TestTheHealthCheckAsksTheService(t *testing.T) {
	service := program(t, nil)
	port := map[string]string{"PORT": strings.TrimPrefix(service.url, "http://127.0.0.1:")}
	before := program(t, port, "healthcheck")
	if _ = before.Run(); before.exitCode() != 1 {
		t.Errorf("without a service: exit code %d", before.exitCode())
	}
	service.start()
	after := program(t, port, "healthcheck")
	if _ = after.Run(); after.exitCode() != 0 {
		t.Errorf("with a service: exit code %d", after.exitCode())
	}
}

func TestATermSignalEndsItInOrder(t *testing.T) {
	p := program(t, nil)
	p.start()
	idle, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://")) // no request ever comes on it
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	p.signal()
	started := time.Now()
	time.Sleep(300 * time.Millisecond)
	if status := p.status("/readyz"); status != 503 {
		t.Errorf("/readyz: %d while draining", status)
	}
	response, err := http.Get(p.url + "/signups/x")
	if err != nil || response.StatusCode != 404 || !response.Close {
		t.Errorf("a late request: %+v, %v", response, err)
	} else {
		response.Body.Close()
	}
	if code := p.exitCode(); code != 0 || p.errors.Len() > 0 {
		t.Errorf("exit code %d, %s", code, &p.errors)
	}
	if took := time.Since(started); took < time.Second || took > 2*time.Second {
		t.Errorf("it took %v to end", took)
	}
	lines := bufio.NewScanner(&p.output)
	for lines.Scan() {
		if line := lines.Text(); !strings.HasPrefix(line, `{"timestamp":"`) || !strings.HasSuffix(line, "}") {
			t.Errorf("not a JSON line: %s", line)
		}
	}
}

func TestARunningRequestIsFinished(t *testing.T) {
	next := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		time.Sleep(1500 * time.Millisecond)
	}))
	defer next.Close()
	p := program(t, map[string]string{"UPSTREAM_URL": next.URL})
	p.start()
	if p.status("/readyz") != 200 {
		t.Skip("without its database the service creates nothing")
	}
	answered := make(chan int)
	go func() { answered <- p.signup() }()
	time.Sleep(200 * time.Millisecond)
	p.signal()
	if status := <-answered; status != 201 {
		t.Errorf("the running request: %d", status)
	}
	if code := p.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestACollectorThatIsGoneHoldsNothingUp(t *testing.T) {
	p := program(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "UPSTREAM_URL": ""})
	p.start()
	if status := p.status("/signups/x"); status != 404 {
		t.Errorf("a request: %d", status)
	}
	p.signal()
	started := time.Now()
	if code := p.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %v to give up", took)
	}
}

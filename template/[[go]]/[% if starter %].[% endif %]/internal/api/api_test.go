package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"app/internal/api"
	"app/internal/flags"
	"app/internal/signups"
	"app/internal/stores"
	"app/internal/telemetry"
	"app/internal/upstream"
)

// service is a running one.
type service struct {
	*testing.T
	api *api.API
	url string
}

func serve(t *testing.T, store signups.Store, upstreamURL string) service {
	t.Helper()
	defaults, err := flags.New("")
	if err != nil {
		t.Fatal(err)
	}
	handler := api.New(store, upstream.New(upstreamURL), defaults)
	web := httptest.NewServer(telemetry.Handler(handler))
	t.Cleanup(web.Close)
	return service{t, handler, web.URL}
}

type answer struct {
	status int
	header http.Header
	text   string
}

func (a answer) body(t *testing.T) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(a.text), &body); err != nil {
		t.Fatalf("%q: %v", a.text, err)
	}
	return body
}

func (s service) send(method, path, kind string, body io.Reader) answer {
	s.Helper()
	request, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		s.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	response, err := http.DefaultTransport.RoundTrip(request) // follows no redirect
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func (s service) post(path, body string) answer {
	s.Helper()
	return s.send(http.MethodPost, path, "application/json", strings.NewReader(body))
}

func (s service) get(path string) answer {
	s.Helper()
	return s.send(http.MethodGet, path, "", nil)
}

func TestASignupIsCreatedReadAndConverted(t *testing.T) {
	s := serve(t, stores.NewMemory(), "")

	created := s.post("/signups", `{"email": "ada@example.com"}`)
	body := created.body(t)
	id, _ := body["id"].(string)
	expected := `{"id":"` + id + `","email":"ada@example.com","plan":"free","converted":false`
	if created.status != 201 || created.text != expected+`,"welcome":false}` {
		t.Fatalf("%d %s", created.status, created.text)
	}
	if location := created.header.Get("Location"); location != "/signups/"+id || uuid.Validate(id) != nil {
		t.Errorf("Location %s", location)
	}

	if read := s.get("/signups/" + id); read.status != 200 || read.text != expected+"}" {
		t.Errorf("%d %s", read.status, read.text)
	}
	for range 2 {
		converted := s.post("/signups/"+id+"/conversion", "")
		if converted.status != 200 || converted.body(t)["converted"] != true {
			t.Errorf("%d %s", converted.status, converted.text)
		}
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	s := serve(t, stores.NewMemory(), "")
	large := strings.Repeat(" ", 70_000)
	const json = "application/json"
	for name, test := range map[string]struct {
		method, path, kind string
		body               io.Reader
		status             int
	}{
		"unknown route":        {"GET", "/nowhere", "", nil, 404},
		"unclean path":         {"GET", "//signups", "", nil, 404},
		"trailing slash":       {"POST", "/signups/", json, nil, 404},
		"malformed id":         {"GET", "/signups/x", "", nil, 404},
		"id in another form":   {"GET", "/signups/" + strings.ToUpper(uuid.NewString()), "", nil, 404},
		"unknown id":           {"GET", "/signups/" + uuid.NewString(), "", nil, 404},
		"unknown conversion":   {"POST", "/signups/" + uuid.NewString() + "/conversion", "", nil, 404},
		"wrong method":         {"DELETE", "/signups", "", nil, 405},
		"no such method":       {"BREW", "/signups", "", nil, 405},
		"not JSON":             {"POST", "/signups", "text/plain", strings.NewReader("email=a"), 415},
		"no type":              {"POST", "/signups", "", strings.NewReader("{}"), 415},
		"empty":                {"POST", "/signups", json, nil, 400},
		"malformed":            {"POST", "/signups", json, strings.NewReader(`{"email": `), 400},
		"more behind it":       {"POST", "/signups", json, strings.NewReader(`{"email": "a@b.example"} {}`), 400},
		"deep":                 {"POST", "/signups", json, strings.NewReader(strings.Repeat("[", 60_000)), 400},
		"not UTF-8":            {"POST", "/signups", json, strings.NewReader("{\"email\": \"a\xff@b.example\"}"), 400},
		"not a number":         {"POST", "/signups", json, strings.NewReader(`{"email": NaN}`), 400},
		"not an object":        {"POST", "/signups", json, strings.NewReader(`[]`), 422},
		"null":                 {"POST", "/signups", json, strings.NewReader(`null`), 422},
		"no mail":              {"POST", "/signups", json, strings.NewReader(`{}`), 422},
		"invalid mail":         {"POST", "/signups", json, strings.NewReader(`{"email": "nobody"}`), 422},
		"mail of another kind": {"POST", "/signups", json, strings.NewReader(`{"email": 1}`), 422},
		"unknown field":        {"POST", "/signups", json, strings.NewReader(`{"email": "a@b.example", "x": 1}`), 422},
		"another case":         {"POST", "/signups", json, strings.NewReader(`{"Email": "a@b.example"}`), 422},
		"unknown plan":         {"POST", "/signups", json, strings.NewReader(`{"email": "a@b.example", "plan": "x"}`), 422},
		"null plan":            {"POST", "/signups", json, strings.NewReader(`{"email": "a@b.example", "plan": null}`), 422},
		"too large":            {"POST", "/signups", json, strings.NewReader(large), 413},
		"too large in chunks":  {"POST", "/signups", json, io.MultiReader(strings.NewReader(large)), 413},
	} {
		got := s.send(test.method, test.path, test.kind, test.body)
		if got.status != test.status {
			t.Errorf("%s: %d, not %d", name, got.status, test.status)
		}
		body := got.body(t)
		if text, ok := body["error"].(string); !ok || text == "" || len(body) != 1 || len(got.text) > 100 {
			t.Errorf("%s: %s", name, got.text)
		}
		if test.status == 405 && got.header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", name, got.header.Get("Allow"))
		}
	}
}

func TestEveryAnswerNamesItsTraceAndHealthDoesNot(t *testing.T) {
	s := serve(t, stores.NewMemory(), "")
	form := regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	for _, path := range []string{"/signups/x", "/nowhere"} {
		if value := s.get(path).header.Get("traceresponse"); !form.MatchString(value) {
			t.Errorf("%s: traceresponse %q", path, value)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/startupz"} {
		got := s.get(path)
		if got.status != 200 || got.text != `{"status":"ok"}` || got.header.Get("traceresponse") != "" {
			t.Errorf("%s: %d %s %v", path, got.status, got.text, got.header)
		}
	}
}

func TestReadinessEndsWithDraining(t *testing.T) {
	s := serve(t, stores.NewMemory(), "")
	s.api.Drain()
	if got := s.get("/readyz"); got.status != 503 {
		t.Errorf("/readyz: %d", got.status)
	}
	if got := s.get("/livez"); got.status != 200 {
		t.Errorf("/livez: %d", got.status)
	}
	if got := s.post("/signups", `{"email": "ada@example.com"}`); got.status != 201 {
		t.Errorf("a late request: %d", got.status)
	}
}

// broken is a store that always fails in the same way.
type broken struct {
	*stores.Memory
	err error
}

func (b broken) Check(context.Context) error               { return b.err }
func (b broken) Add(context.Context, signups.Signup) error { return b.err }
func (b broken) Get(context.Context, uuid.UUID) (signups.Signup, error) {
	if b.err == nil {
		panic("canary")
	}
	return signups.Signup{}, b.err
}

func TestAStoreThatFailsIsToldApart(t *testing.T) {
	path := "/signups/" + uuid.NewString()
	away := serve(t, broken{err: signups.ErrUnreachable}, "")
	for _, got := range []answer{away.get("/readyz"), away.get(path), away.post("/signups", `{"email": "ada@example.com"}`)} {
		if got.status != 503 || got.text != `{"error":"the store is unreachable"}` {
			t.Errorf("unreachable: %d %s", got.status, got.text)
		}
	}
	if got := away.get("/livez"); got.status != 200 {
		t.Errorf("/livez: %d", got.status)
	}
	for name, store := range map[string]signups.Store{
		"an unknown error": broken{err: io.ErrUnexpectedEOF},
		"a panic":          broken{},
	} {
		if got := serve(t, store, "").get(path); got.status != 500 || got.text != `{"error":"internal error"}` {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
}

func TestTheUpstreamIsToldAndItsFailureStaysInside(t *testing.T) {
	var told []string
	var traceparent string
	next := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told = append(told, r.Method+" "+r.URL.Path+" "+string(body))
		traceparent = r.Header.Get("traceparent")
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer next.Close()
	for _, url := range []string{next.URL, "http://127.0.0.1:9"} {
		if got := serve(t, stores.NewMemory(), url).post("/signups", `{"email": "ada@example.com", "plan": "paid"}`); got.status != 201 {
			t.Errorf("%d %s", got.status, got.text)
		}
	}
	if len(told) != 1 || told[0] != `POST /signups {"email":"ada@example.com","plan":"paid"}` {
		t.Errorf("the upstream was told %q", told)
	}
	if len(traceparent) != 55 {
		t.Errorf("traceparent %q", traceparent)
	}
}

func TestMain(m *testing.M) {
	if err := telemetry.Start("test", "error", nil); err != nil {
		panic(err)
	}
	m.Run()
}

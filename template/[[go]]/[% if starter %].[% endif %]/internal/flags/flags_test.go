package flags_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"sync/atomic"
	"testing"
	"time"

	"app/internal/flags"
)

// server answers as an OFREP server does and counts what it is asked.
func server(t *testing.T, wait time.Duration) (url string, asked *atomic.Int32) {
	asked = &atomic.Int32{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		time.Sleep(wait)
		var question struct{ Context struct{ TargetingKey string } }
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			t.Error(err)
		}
		if flag := path.Base(r.URL.Path); flag != "welcome" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"key":"` + flag + `","errorCode":"FLAG_NOT_FOUND"}`))
			return
		}
		value := question.Context.TargetingKey == "one"
		_ = json.NewEncoder(w).Encode(map[string]any{"key": "welcome", "value": value, "reason": "TARGETING_MATCH"})
	}))
	t.Cleanup(web.Close)
	return web.URL, asked
}

func enabled(t *testing.T, url, flag string, otherwise bool, key string) func() bool {
	t.Helper()
	all, err := flags.New(url)
	if err != nil {
		t.Fatal(err)
	}
	return func() bool { return all.Enabled(t.Context(), flag, otherwise, key) }
}

func TestWithoutAServerTheDefaultsHold(t *testing.T) {
	if !enabled(t, "", "signups-open", true, "")() || enabled(t, "", "welcome", false, "one")() {
		t.Error("a default does not hold")
	}
}

func TestTheServerDecidesByTheTargetingKey(t *testing.T) {
	url, _ := server(t, 0)
	if !enabled(t, url, "welcome", false, "one")() || enabled(t, url, "welcome", true, "two")() {
		t.Error("the server does not decide")
	}
}

func TestAnUnknownFlagHasItsDefaultAndIsNoFailure(t *testing.T) {
	url, asked := server(t, 0)
	unknown := enabled(t, url, "signups-open", true, "")
	for range 2 {
		if !unknown() {
			t.Error("the default does not hold")
		}
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestASlowServerIsNotWaitedForTwice(t *testing.T) {
	url, asked := server(t, 700*time.Millisecond)
	slow := enabled(t, url, "welcome", false, "one")
	started := time.Now()
	for range 2 {
		if slow() {
			t.Error("the default does not hold")
		}
	}
	if took := time.Since(started); took > 650*time.Millisecond || asked.Load() != 1 {
		t.Errorf("%v for %d questions", took, asked.Load())
	}
}

func TestAServerThatIsGoneLeavesTheDefaults(t *testing.T) {
	if !enabled(t, "http://127.0.0.1:9", "signups-open", true, "")() {
		t.Error("the default does not hold")
	}
}

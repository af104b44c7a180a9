package stores_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"app/internal/signups"
	"app/internal/stores"
)

func init() {
	underTest["redis"] = func(t *testing.T) signups.Store {
		if os.Getenv("CACHE_URL") == "" {
			t.Skip("CACHE_URL is not set")
		}
		return openCached(t, os.Getenv("CACHE_URL"), stores.NewMemory())
	}
}

func openCached(t *testing.T, url string, store signups.Store) signups.Store {
	t.Helper()
	cached, err := stores.OpenCached(func(name string) string {
		return map[string]string{"CACHE_URL": url, "CACHE_PASSWORD_FILE": os.Getenv("CACHE_PASSWORD_FILE")}[name]
	}, store)
	if err != nil {
		t.Fatal(err)
	}
	return cached
}

func TestABrokenCacheCostsTimeNeverAnAnswer(t *testing.T) {
	store := openCached(t, "redis://127.0.0.1:9/0", stores.NewMemory()) // nobody serves there
	defer store.Close()
	started := time.Now()
	keepsAndConverts(t, store)
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("a broken cache cost %v", took)
	}
}

func TestReadsComeFromTheCache(t *testing.T) {
	if os.Getenv("CACHE_URL") == "" {
		t.Skip("CACHE_URL is not set")
	}
	memory := stores.NewMemory()
	store := openCached(t, os.Getenv("CACHE_URL"), memory)
	defer store.Close()
	signup := signups.Signup{ID: uuid.New(), Email: "ada@example.com", Plan: "free"}
	if err := store.Add(t.Context(), signup); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), signup.ID); err != nil {
		t.Fatal(err)
	}
	other := openCached(t, os.Getenv("CACHE_URL"), stores.NewMemory()) // knows it from the cache only
	defer other.Close()
	if found, err := other.Get(t.Context(), signup.ID); err != nil || found != signup {
		t.Errorf("found %+v, %v", found, err)
	}
	if _, _, err := store.Convert(t.Context(), signup.ID); err != nil {
		t.Fatal(err)
	}
	if found, err := other.Get(t.Context(), signup.ID); err != nil || !found.Converted {
		t.Errorf("found %+v, %v after the conversion", found, err)
	}
}

func TestAWrongCacheIsNamed(t *testing.T) {
	for url, problem := range map[string]string{
		"":                       "missing; set a redis or rediss URL with a host",
		"http://canary":          "is not a redis or rediss URL with a host",
		"redis://:canary@host/0": "holds a password; put it in a file of its own",
		"redis://host/zero":      "is not a redis URL that the driver accepts",
	} {
		_, err := stores.OpenCached(func(name string) string {
			return map[string]string{"CACHE_URL": url}[name]
		}, stores.NewMemory())
		if err == nil || err.Error() != "configuration: CACHE_URL: "+problem {
			t.Errorf("%q: %v", url, err)
		}
	}
}

package stores_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"app/internal/settings"
	"app/internal/signups"
	"app/internal/stores"
)

func init() { underTest["postgres"] = openPostgres }

// openPostgres opens the migrated database of DATABASE_URL and DATABASE_PASSWORD_FILE.
func openPostgres(t *testing.T) signups.Store {
	if os.Getenv("DATABASE_URL") == "" {
		t.Skip("DATABASE_URL is not set")
	}
	for range 2 { // the second finds nothing to do
		if err := stores.Migrate(t.Context(), os.Getenv, "../../migrations"); err != nil {
			t.Fatal(err)
		}
	}
	store, err := stores.OpenPostgres(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// nobody is a database that nobody serves.
func nobody(t *testing.T) settings.Environment {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(name string) string {
		return map[string]string{
			"DATABASE_URL":           "postgresql://app@127.0.0.1:9/app",
			"DATABASE_PASSWORD_FILE": password,
		}[name]
	}
}

func TestADatabaseThatIsAwayIsUnreachable(t *testing.T) {
	store, err := stores.OpenPostgres(nobody(t))
	if err != nil {
		t.Fatalf("a database that is away must not stop the start: %v", err)
	}
	defer store.Close()
	started := time.Now()
	_, _, convertErr := store.Convert(t.Context(), uuid.New())
	_, getErr := store.Get(t.Context(), uuid.New())
	for name, err := range map[string]error{
		"check":   store.Check(t.Context()),
		"add":     store.Add(t.Context(), signups.Signup{ID: uuid.New()}),
		"get":     getErr,
		"convert": convertErr,
	} {
		if !errors.Is(err, signups.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %v to notice", took)
	}
}

func TestMigrateSaysThatItFailed(t *testing.T) {
	if err := stores.Migrate(t.Context(), nobody(t), "../../migrations"); !errors.Is(err, stores.ErrNotMigrated) {
		t.Errorf("no database: %v", err)
	}
	if err := stores.Migrate(t.Context(), nobody(t), t.TempDir()); !errors.Is(err, stores.ErrNotMigrated) {
		t.Errorf("no migrations: %v", err)
	}
}

func TestAFailedMigrationLeavesNothingBehind(t *testing.T) {
	openPostgres(t).Close()
	name := "m" + strings.ReplaceAll(uuid.NewString(), "-", "")
	file := filepath.Join(t.TempDir(), name+".sql")
	migrate := func(sql string) error {
		if err := os.WriteFile(file, []byte(sql), 0o600); err != nil {
			t.Fatal(err)
		}
		return stores.Migrate(t.Context(), os.Getenv, filepath.Dir(file))
	}
	create := "CREATE TABLE " + name + " (id int);"
	if err := migrate(create + " SELECT 1 / 0;"); !errors.Is(err, stores.ErrNotMigrated) {
		t.Errorf("a broken migration: %v", err)
	}
	// Had the table stayed, it could not be created now.
	if err := migrate(create + " DROP TABLE " + name + ";"); err != nil {
		t.Errorf("the mended migration: %v", err)
	}
}

func TestAWrongDatabaseIsNamedWithoutItsValue(t *testing.T) {
	for url, problem := range map[string]string{
		"":                               "missing; set a postgresql URL with a host",
		"postgresql://canary":            "",
		"mysql://canary/app":             "is not a postgresql URL with a host",
		"postgresql://a:canary@b/c":      "holds a password; put it in a file of its own",
		"postgresql://a@b/c?sslmode=any": "is not a postgresql URL that the driver accepts",
	} {
		good := nobody(t)
		store, err := stores.OpenPostgres(func(name string) string {
			if name == "DATABASE_URL" {
				return url
			}
			return good(name)
		})
		if problem == "" {
			if err != nil {
				t.Errorf("%q: %v", url, err)
			}
			store.Close()
		} else if err == nil || err.Error() != "configuration: DATABASE_URL: "+problem {
			t.Errorf("%q: %v", url, err)
		}
	}
}

package stores_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"app/internal/signups"
	"app/internal/stores"
)

// underTest holds every store that the code has; postgres_test.go and redis_test.go add theirs.
var underTest = map[string]func(*testing.T) signups.Store{
	"memory": func(*testing.T) signups.Store { return stores.NewMemory() },
}

func TestEveryStore(t *testing.T) {
	for name, open := range underTest {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			t.Cleanup(store.Close)
			keepsAndConverts(t, store)
			countsOneConversion(t, store)
		})
	}
}

func keepsAndConverts(t *testing.T, store signups.Store) {
	t.Helper()
	ctx := t.Context()
	if err := store.Check(ctx); err != nil {
		t.Fatal(err)
	}
	signup := signups.Signup{ID: uuid.New(), Email: "ada@example.com", Plan: "paid"}
	if err := store.Add(ctx, signup); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second answer may come from a cache
		if found, err := store.Get(ctx, signup.ID); err != nil || found != signup {
			t.Errorf("found %+v, %v", found, err)
		}
	}
	signup.Converted = true
	if converted, first, err := store.Convert(ctx, signup.ID); err != nil || !first || converted != signup {
		t.Errorf("converted %+v, first %v, %v", converted, first, err)
	}
	if converted, first, err := store.Convert(ctx, signup.ID); err != nil || first || converted != signup {
		t.Errorf("converted again %+v, first %v, %v", converted, first, err)
	}
	if found, err := store.Get(ctx, signup.ID); err != nil || found != signup {
		t.Errorf("found %+v, %v after the conversion", found, err)
	}
	if _, err := store.Get(ctx, uuid.New()); !errors.Is(err, signups.ErrNotFound) {
		t.Errorf("an unknown sign-up: %v", err)
	}
	if _, _, err := store.Convert(ctx, uuid.New()); !errors.Is(err, signups.ErrNotFound) {
		t.Errorf("an unknown conversion: %v", err)
	}
}

func countsOneConversion(t *testing.T, store signups.Store) {
	t.Helper()
	signup := signups.Signup{ID: uuid.New(), Email: "ada@example.com", Plan: "free"}
	if err := store.Add(t.Context(), signup); err != nil {
		t.Fatal(err)
	}
	var firsts atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, first, err := store.Convert(context.Background(), signup.ID); err != nil {
				t.Error(err)
			} else if first {
				firsts.Add(1)
			}
		})
	}
	all.Wait()
	if firsts.Load() != 1 {
		t.Errorf("%d of 8 conversions were the first", firsts.Load())
	}
}

func TestMemoryForgetsTheOldest(t *testing.T) {
	store := stores.NewMemory()
	var ids []uuid.UUID
	for range 100_001 {
		ids = append(ids, uuid.New())
		_ = store.Add(t.Context(), signups.Signup{ID: ids[len(ids)-1]})
	}
	if _, err := store.Get(t.Context(), ids[0]); !errors.Is(err, signups.ErrNotFound) {
		t.Errorf("the oldest: %v", err)
	}
	if _, err := store.Get(t.Context(), ids[1]); err != nil {
		t.Errorf("the second: %v", err)
	}
}

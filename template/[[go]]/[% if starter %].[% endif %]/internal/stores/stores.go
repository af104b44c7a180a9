// Package stores keeps sign-ups where this service keeps them: in PostgreSQL where postgres.go is,
// else in memory; behind Redis where redis.go is.
package stores

import (
	"app/internal/settings"
	"app/internal/signups"
)

var (
	// Set by postgres.go.
	open = func(settings.Environment) (signups.Store, error) { return NewMemory(), nil }
	// Set by redis.go.
	cached = func(_ settings.Environment, store signups.Store) (signups.Store, error) { return store, nil }
)

// Open opens the store that the environment describes. One that cannot be reached yet is no error.
func Open(env settings.Environment) (signups.Store, error) {
	store, err := open(env)
	if err != nil {
		return nil, err
	}
	return cached(env, store)
}

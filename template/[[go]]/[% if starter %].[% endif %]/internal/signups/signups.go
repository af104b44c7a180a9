// Package signups is what the service is about: sign-ups, what a store keeps of them, and who is
// active.
package signups

import (
	"context"
	"errors"
	"regexp"
	"unicode/utf8"

	"github.com/google/uuid"
)

// New is what a client sends to sign up.
type New struct {
	Email string `json:"email"`
	Plan  string `json:"plan"`
}

// One @ between two parts without blanks or control characters; a dot in the domain.
var email = regexp.MustCompile(`^[^@\pZ\pC]+@[^@\pZ\pC]+\.[^@\pZ\pC]+$`)

// Invalid names the fields that a client filled in wrongly.
func (n New) Invalid() (names []string) {
	if utf8.RuneCountInString(n.Email) > 254 || !email.MatchString(n.Email) {
		names = append(names, "email")
	}
	if n.Plan != "free" && n.Plan != "paid" {
		names = append(names, "plan")
	}
	return names
}

// Signup is a sign-up as it is kept and answered.
type Signup struct {
	ID        uuid.UUID `json:"id"`
	Email     string    `json:"email"`
	Plan      string    `json:"plan"`
	Converted bool      `json:"converted"`
}

var (
	// ErrNotFound means that there is no sign-up with this id.
	ErrNotFound = errors.New("no such sign-up")
	// ErrUnreachable means that the store cannot be asked now; the client may try again.
	ErrUnreachable = errors.New("the store is unreachable")
)

// Store keeps sign-ups. Every method may fail with ErrUnreachable.
type Store interface {
	// Check finds out whether the store can be used.
	Check(context.Context) error
	// Add keeps a new sign-up.
	Add(context.Context, Signup) error
	// Get finds a sign-up, or fails with ErrNotFound.
	Get(context.Context, uuid.UUID) (Signup, error)
	// Convert marks a sign-up as converted and says whether this was the first time.
	Convert(context.Context, uuid.UUID) (signup Signup, first bool, err error)
	// Close lets go of every connection.
	Close()
}

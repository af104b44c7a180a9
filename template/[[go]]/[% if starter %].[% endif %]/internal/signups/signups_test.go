package signups

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestWhatAClientSendsIsChecked(t *testing.T) {
	for _, test := range []struct{ email, plan, invalid string }{
		{"ada@example.com", "free", ""},
		{"ada@example.com", "paid", ""},
		{"ада@пример.бел", "free", ""},
		{"ada@example.com", "gold", "plan"},
		{"ada@example.com", "", "plan"},
		{"", "free", "email"},
		{"", "", "email and plan"},
		{"nobody", "free", "email"},
		{"a@b", "free", "email"},
		{"a@b@c.example", "free", "email"},
		{"a b@c.example", "free", "email"},
		{"a\u00a0b@c.example", "free", "email"},
		{"a\x00@c.example", "free", "email"},
		{strings.Repeat("a", 250) + "@b.example", "free", "email"},
	} {
		if invalid := (New{Email: test.email, Plan: test.plan}).Invalid(); strings.Join(invalid, " and ") != test.invalid {
			t.Errorf("%q, %q: invalid %q, not %q", test.email, test.plan, invalid, test.invalid)
		}
	}
}

func TestActiveIsWhoWasSeenWithin15Minutes(t *testing.T) {
	now := time.Now()
	active := NewActiveUsers()
	active.now = func() time.Time { return now }
	first, second := uuid.New(), uuid.New()
	active.Saw(first)
	active.Saw(first)
	now = now.Add(10 * time.Minute)
	active.Saw(second)
	if count := active.Count(); count != 2 {
		t.Errorf("%d active, not 2", count)
	}
	now = now.Add(6 * time.Minute)
	if count := active.Count(); count != 1 {
		t.Errorf("%d active after 16 minutes, not 1", count)
	}
	active.Saw(second)
	now = now.Add(16 * time.Minute)
	if count := active.Count(); count != 0 {
		t.Errorf("%d active at the end, not 0", count)
	}
}

func TestOnlySoManyAreRemembered(t *testing.T) {
	active := NewActiveUsers()
	for range activeMost + 10 {
		active.Saw(uuid.New())
	}
	if count := active.Count(); count != activeMost {
		t.Errorf("%d are remembered", count)
	}
}

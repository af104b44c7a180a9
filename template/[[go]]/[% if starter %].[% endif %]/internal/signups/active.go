package signups

import (
	"container/list"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	activeFor  = 15 * time.Minute
	activeMost = 100_000 // about 20 MB; beyond it the longest idle ones are forgotten
)

// ActiveUsers counts the sign-ups that were created or read within the last 15 minutes.
type ActiveUsers struct {
	now  func() time.Time
	lock sync.Mutex
	seen map[uuid.UUID]*list.Element // of idle
	idle *list.List                  // of seen, the longest idle first
}

type seen struct {
	id   uuid.UUID
	last time.Time
}

// NewActiveUsers starts with nobody.
func NewActiveUsers() *ActiveUsers {
	return &ActiveUsers{now: time.Now, seen: map[uuid.UUID]*list.Element{}, idle: list.New()}
}

// Saw notes that this sign-up is active now.
func (a *ActiveUsers) Saw(id uuid.UUID) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if known, ok := a.seen[id]; ok {
		known.Value = seen{id, a.now()}
		a.idle.MoveToBack(known)
		return
	}
	a.seen[id] = a.idle.PushBack(seen{id, a.now()})
	if len(a.seen) > activeMost {
		a.forget(a.idle.Front())
	}
}

// Count says how many are active.
func (a *ActiveUsers) Count() int64 {
	a.lock.Lock()
	defer a.lock.Unlock()
	oldest := a.now().Add(-activeFor)
	for first := a.idle.Front(); first != nil && first.Value.(seen).last.Before(oldest); first = a.idle.Front() {
		a.forget(first)
	}
	return int64(len(a.seen))
}

func (a *ActiveUsers) forget(one *list.Element) {
	delete(a.seen, a.idle.Remove(one).(seen).id)
}

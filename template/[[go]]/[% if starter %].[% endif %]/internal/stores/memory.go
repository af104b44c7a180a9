package stores

import (
	"container/list"
	"context"
	"sync"

	"github.com/google/uuid"

	"app/internal/signups"
)

const memoryMost = 100_000 // about 60 MB; older sign-ups make room

// Memory keeps sign-ups until the process ends, and shares them with no other instance.
type Memory struct {
	lock sync.Mutex
	kept map[uuid.UUID]*list.Element // of ages
	ages *list.List                  // of signups.Signup, the oldest first
}

// NewMemory starts with no sign-up.
func NewMemory() *Memory {
	return &Memory{kept: map[uuid.UUID]*list.Element{}, ages: list.New()}
}

// Check finds that memory can always be used.
func (*Memory) Check(context.Context) error { return nil }

// Add keeps a new sign-up, and forgets the oldest one when there are too many.
func (m *Memory) Add(_ context.Context, signup signups.Signup) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.kept[signup.ID] = m.ages.PushBack(signup)
	if len(m.kept) > memoryMost {
		delete(m.kept, m.ages.Remove(m.ages.Front()).(signups.Signup).ID)
	}
	return nil
}

// Get finds a sign-up.
func (m *Memory) Get(_ context.Context, id uuid.UUID) (signups.Signup, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if kept, ok := m.kept[id]; ok {
		return kept.Value.(signups.Signup), nil
	}
	return signups.Signup{}, signups.ErrNotFound
}

// Convert marks a sign-up as converted.
func (m *Memory) Convert(_ context.Context, id uuid.UUID) (signups.Signup, bool, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	kept, ok := m.kept[id]
	if !ok {
		return signups.Signup{}, false, signups.ErrNotFound
	}
	signup := kept.Value.(signups.Signup)
	first := !signup.Converted
	signup.Converted = true
	kept.Value = signup
	return signup, first, nil
}

// Close has nothing to let go of.
func (*Memory) Close() {}

package stores

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"app/internal/settings"
	"app/internal/signups"
	"app/internal/telemetry"
)

const (
	cacheTime  = 60 * time.Second // how long a stale answer may live when an update could not reach Redis
	redisTime  = 200 * time.Millisecond
	redisPause = 5 * time.Second // after a failure reads go straight to the store for so long
	warnEvery  = time.Minute
)

func init() { cached = OpenCached }

// Cached answers reads from Redis where it can, else from the store. A broken cache costs time,
// never an answer.
type Cached struct {
	signups.Store
	redis       *redis.Client
	host        string
	pausedUntil atomic.Int64 // in nanoseconds since 1970, as the next
	warnedAt    atomic.Int64
}

// OpenCached puts the cache that CACHE_URL and CACHE_PASSWORD_FILE describe before a store. Redis
// is asked when it is needed.
func OpenCached(env settings.Environment, store signups.Store) (signups.Store, error) {
	r := settings.NewReader(env)
	address := r.URL("CACHE_URL", "redis", "rediss")
	passwordFile := ""
	if env("CACHE_PASSWORD_FILE") != "" {
		passwordFile = r.SecretFile("CACHE_PASSWORD_FILE")
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	options, err := redis.ParseURL(address)
	if err != nil { // its text holds the URL
		return nil, &settings.Error{Name: "CACHE_URL", Problem: "is not a redis URL that the driver accepts"}
	}
	options.DialTimeout = redisTime
	options.ReadTimeout = redisTime
	options.WriteTimeout = redisTime
	options.PoolTimeout = redisTime
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1
	options.DialerRetries = 1
	options.PoolSize = 50
	options.MaxActiveConns = 50
	options.ReadBufferSize = 4096
	options.WriteBufferSize = 4096
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if passwordFile != "" {
		user := options.Username
		options.CredentialsProviderContext = func(context.Context) (string, string, error) {
			// Read for each new connection, so that a password can be rotated without a restart.
			password, err := settings.Secret(passwordFile)
			return user, password, err
		}
	}
	logging.Disable() // its own warnings name hosts and repeat for each attempt
	host, _, _ := net.SplitHostPort(options.Addr)
	return &Cached{Store: store, redis: redis.NewClient(options), host: host}, nil
}

// Close closes both.
func (c *Cached) Close() {
	_ = c.redis.Close()
	c.Store.Close()
}

// Get reads through the cache.
func (c *Cached) Get(ctx context.Context, id uuid.UUID) (signups.Signup, error) {
	if signup, ok := c.read(ctx, id); ok {
		return signup, nil
	}
	signup, err := c.Store.Get(ctx, id)
	if err == nil && !c.paused() {
		// Only if absent: a slow reader must not put back what a conversion has replaced.
		c.keep(ctx, signup, redis.SetArgs{Mode: "NX", TTL: cacheTime})
	}
	return signup, err
}

// Convert converts in the store, then replaces what is cached, even while reads are paused.
func (c *Cached) Convert(ctx context.Context, id uuid.UUID) (signups.Signup, bool, error) {
	signup, first, err := c.Store.Convert(ctx, id)
	if err == nil {
		c.keep(ctx, signup, redis.SetArgs{TTL: cacheTime})
	}
	return signup, first, err
}

func (c *Cached) read(ctx context.Context, id uuid.UUID) (signup signups.Signup, ok bool) {
	if c.paused() {
		return signup, false
	}
	var value []byte
	err := c.ask(ctx, "GET", func(ctx context.Context) (err error) {
		value, err = c.redis.Get(ctx, key(id)).Bytes()
		return err
	})
	// What another version of the service has written may not be readable.
	return signup, err == nil && json.Unmarshal(value, &signup) == nil && signup.ID == id
}

func (c *Cached) keep(ctx context.Context, signup signups.Signup, how redis.SetArgs) {
	value, err := json.Marshal(signup)
	if err != nil {
		return
	}
	_ = c.ask(ctx, "SET", func(ctx context.Context) error {
		return c.redis.SetArgs(ctx, key(signup.ID), value, how).Err()
	})
}

// ask traces a call, bounds it, and remembers that the cache is broken.
func (c *Cached) ask(ctx context.Context, operation string, call func(context.Context) error) error {
	ctx, end := telemetry.Span(ctx, "redis", operation, "", c.host)
	bounded, cancel := context.WithTimeout(ctx, redisTime)
	err := call(bounded)
	cancel()
	if errors.Is(err, redis.Nil) { // not there, or there already
		end(nil)
		return err
	}
	end(err)
	if err != nil {
		now := time.Now().UnixNano()
		c.pausedUntil.Store(now + int64(redisPause))
		if last := c.warnedAt.Load(); now-last >= int64(warnEvery) && c.warnedAt.CompareAndSwap(last, now) {
			slog.WarnContext(ctx, "the cache is unreachable", "error.type", telemetry.ErrorType(err))
		}
	}
	return err
}

func (c *Cached) paused() bool { return time.Now().UnixNano() < c.pausedUntil.Load() }

func key(id uuid.UUID) string { return "signup:" + id.String() }

package stores

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"app/internal/settings"
	"app/internal/signups"
	"app/internal/telemetry"
)

const (
	connectTime       = 2 * time.Second
	statementTime     = 5 * time.Second
	checkTime         = time.Second
	mostConnections   = 10
	mostWaitingForOne = 100
)

func init() { open = OpenPostgres }

// Postgres keeps sign-ups in the table that migrations/ describes.
type Postgres struct {
	pool        *pgxpool.Pool
	host        string
	places      chan struct{} // of those who have a connection or wait for one
	unreachable atomic.Bool
}

// OpenPostgres starts to connect to what DATABASE_URL and DATABASE_PASSWORD_FILE describe, without
// waiting for it.
func OpenPostgres(env settings.Environment) (signups.Store, error) {
	database, err := readDatabase(env)
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(database.url)
	if err != nil {
		return nil, errDatabaseURL
	}
	config.MaxConns = mostConnections
	config.MinConns = 1
	config.ConnConfig.ConnectTimeout = connectTime
	config.ConnConfig.RuntimeParams["application_name"] = "app"
	config.ConnConfig.RuntimeParams["statement_timeout"] = "5s"
	config.BeforeConnect = func(_ context.Context, one *pgx.ConnConfig) (err error) {
		// Read for each new connection, so that a password can be rotated without a restart.
		one.Password, err = settings.Secret(database.passwordFile)
		return err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	places := make(chan struct{}, mostConnections+mostWaitingForOne)
	return &Postgres{pool: pool, host: config.ConnConfig.Host, places: places}, nil
}

// The driver's own text holds the URL.
var errDatabaseURL = &settings.Error{Name: "DATABASE_URL", Problem: "is not a postgresql URL that the driver accepts"}

type database struct{ url, passwordFile string }

func readDatabase(env settings.Environment) (database, error) {
	r := settings.NewReader(env)
	read := database{
		url:          r.URL("DATABASE_URL", "postgresql"),
		passwordFile: r.SecretFile("DATABASE_PASSWORD_FILE"),
	}
	return read, r.Err()
}

// Close closes the pool; a query that still runs has a second to end.
func (p *Postgres) Close() {
	closed := make(chan struct{})
	go func() { p.pool.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(time.Second):
	}
}

// Check asks for the table, so that a database without migrations is not ready either.
func (p *Postgres) Check(ctx context.Context) error {
	return p.ask(ctx, "SELECT", checkTime, func(ctx context.Context) error {
		_, err := p.pool.Exec(ctx, "SELECT FROM signups LIMIT 0")
		return err
	})
}

// Add inserts a new sign-up.
func (p *Postgres) Add(ctx context.Context, signup signups.Signup) error {
	return p.ask(ctx, "INSERT", connectTime+statementTime, func(ctx context.Context) error {
		_, err := p.pool.Exec(ctx,
			"INSERT INTO signups (id, email, plan, converted) VALUES ($1, $2, $3, $4)",
			signup.ID, signup.Email, signup.Plan, signup.Converted)
		return err
	})
}

// Get selects one sign-up.
func (p *Postgres) Get(ctx context.Context, id uuid.UUID) (signups.Signup, error) {
	return p.one(ctx, "SELECT", "SELECT id, email, plan, converted FROM signups WHERE id = $1", id)
}

// Convert updates one sign-up; of two clients at once only one is the first.
func (p *Postgres) Convert(ctx context.Context, id uuid.UUID) (signups.Signup, bool, error) {
	signup, err := p.one(ctx, "UPDATE", "UPDATE signups SET converted = true WHERE id = $1 AND NOT converted"+
		" RETURNING id, email, plan, converted", id)
	if !errors.Is(err, signups.ErrNotFound) {
		return signup, err == nil, err
	}
	signup, err = p.Get(ctx, id)
	return signup, false, err
}

func (p *Postgres) one(ctx context.Context, operation, sql string, id uuid.UUID) (signup signups.Signup, err error) {
	found := true
	err = p.ask(ctx, operation, connectTime+statementTime, func(ctx context.Context) error {
		err := p.pool.QueryRow(ctx, sql, id).Scan(&signup.ID, &signup.Email, &signup.Plan, &signup.Converted)
		if errors.Is(err, pgx.ErrNoRows) {
			found, err = false, nil
		}
		return err
	})
	if err == nil && !found {
		err = signups.ErrNotFound
	}
	return signup, err
}

var errBusy = errors.New("too many wait for a connection")

// ask traces a call, bounds it, and turns the errors of a store that is away into ErrUnreachable.
func (p *Postgres) ask(ctx context.Context, operation string, within time.Duration, call func(context.Context) error) error {
	ctx, end := telemetry.Span(ctx, "postgresql", operation, "signups", p.host)
	err := errBusy
	select {
	case p.places <- struct{}{}:
		bounded, cancel := context.WithTimeout(ctx, within)
		err = call(bounded)
		cancel()
		<-p.places
	default:
	}
	end(err)
	if err != nil && !isAway(err) {
		return err
	}
	if away := err != nil; p.unreachable.Swap(away) != away {
		if away {
			slog.WarnContext(ctx, "the store is unreachable", "error.type", telemetry.ErrorType(err))
		} else {
			slog.InfoContext(ctx, "the store is reachable again")
		}
	}
	if err != nil {
		return signups.ErrUnreachable
	}
	return nil
}

// isAway tells an answer of the database that concerns the query from all that may pass.
func isAway(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) || len(answer.Code) != 5 {
		return true // the network, a timeout, the password's file
	}
	switch answer.Code[:2] {
	case "08", "28", "3D", "53", "57", "58": // connection, password, no database, resources, stopping
		return true
	}
	return answer.Code == "42P01" || answer.Code == "25006" // not migrated yet, a read-only replica
}

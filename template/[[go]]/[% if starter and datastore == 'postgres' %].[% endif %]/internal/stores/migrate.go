package stores

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"app/internal/settings"
	"app/internal/telemetry"
)

// ErrNotMigrated means that the log says what went wrong.
var ErrNotMigrated = errors.New("not migrated")

// Migrate brings the database to the newest of the folder's *.sql, forward only, each file in a
// transaction of its own. It says what it does in the log.
func Migrate(ctx context.Context, env settings.Environment, folder string) error {
	database, err := readDatabase(env)
	if err != nil {
		return err
	}
	config, err := pgx.ParseConfig(database.url)
	if err != nil {
		return errDatabaseURL
	}
	if config.Password, err = settings.Secret(database.passwordFile); err != nil {
		return failed("the database is unreachable", err)
	}
	config.ConnectTimeout = connectTime
	config.RuntimeParams["application_name"] = "migrate"
	// Rather fail than queue every request behind a lock that a long query holds.
	config.RuntimeParams["lock_timeout"] = "30s"

	files, err := filepath.Glob(filepath.Join(folder, "*.sql"))
	if err != nil || len(files) == 0 {
		return failed("no migrations found below the working directory", err)
	}
	slices.Sort(files)
	connection, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return failed("the database is unreachable", err)
	}
	defer func() { _ = connection.Close(context.Background()) }() // nothing is left to lose
	return apply(ctx, connection, files)
}

func apply(ctx context.Context, connection *pgx.Conn, files []string) error {
	for _, sql := range []string{
		// Two at once wait for each other: the key is the same in every instance.
		"SELECT pg_advisory_lock(hashtext('schema_migrations'))",
		"CREATE TABLE IF NOT EXISTS schema_migrations" +
			" (version text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
	} {
		if _, err := connection.Exec(ctx, sql); err != nil {
			return failed("the database cannot be migrated", err)
		}
	}
	rows, err := connection.Query(ctx, "SELECT version FROM schema_migrations")
	if err != nil {
		return failed("the database cannot be migrated", err)
	}
	applied, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return failed("the database cannot be migrated", err)
	}
	pending := 0
	for _, file := range files {
		version := strings.TrimSuffix(filepath.Base(file), ".sql")
		if slices.Contains(applied, version) {
			continue
		}
		if err := applyOne(ctx, connection, file, version); err != nil {
			slog.Error("a migration failed and was rolled back",
				"migration", version, "error.type", telemetry.ErrorType(err))
			return ErrNotMigrated
		}
		slog.Info("migration applied", "migration", version)
		pending++
	}
	slog.Info("the database is up to date", "applied", pending)
	return nil
}

func applyOne(ctx context.Context, connection *pgx.Conn, file, version string) error {
	sql, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, connection, func(tx pgx.Tx) error {
		// The simple protocol takes several statements at once.
		if _, err := tx.Conn().PgConn().Exec(ctx, string(sql)).ReadAll(); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO schema_migrations (version) VALUES ($1)", version)
		return err
	})
}

func failed(message string, err error) error {
	slog.Error(message, "error.type", telemetry.ErrorType(err))
	return ErrNotMigrated
}

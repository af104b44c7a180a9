package main

import (
	"context"
	"os/signal"
	"syscall"

	"app/internal/settings"
	"app/internal/stores"
	"app/internal/telemetry"
)

func init() { programs["migrate"] = migrate }

// migrate applies migrations/ below the working directory, in the image as in the repository.
func migrate(env settings.Environment) error {
	config, err := settings.Read(env)
	if err != nil {
		return err
	}
	telemetry.StartLogs(config.ServiceName, config.LogLevel)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return stores.Migrate(ctx, env, "migrations")
}

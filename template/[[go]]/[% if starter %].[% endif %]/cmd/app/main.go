// Command app holds the programs of the image: serve (without an argument), healthcheck, migrate.
package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"app/internal/settings"
)

// programs by their argument; migrate.go adds its own.
var programs = map[string]func(settings.Environment) error{
	"":            serve,
	"healthcheck": healthcheck,
}

// errFailed ends a program with exit code 1; it has said why already.
var errFailed = errors.New("failed")

func main() { os.Exit(run(os.Args[1:], os.Getenv)) }

func run(arguments []string, env settings.Environment) (exitCode int) {
	program, known := programs[strings.Join(arguments, " ")]
	if !known {
		names := slices.Sorted(maps.Keys(programs))
		fmt.Fprintf(os.Stderr, "usage: app [%s]\n", strings.Join(names[1:], " | "))
		return 2
	}
	err := program(env)
	var wrong *settings.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintln(os.Stderr, wrong)
		return 2
	default:
		return 1
	}
}

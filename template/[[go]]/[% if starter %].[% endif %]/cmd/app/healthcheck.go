package main

import (
	"fmt"
	"net/http"
	"time"

	"app/internal/settings"
)

// healthcheck asks the service in this container whether it is alive.
func healthcheck(env settings.Environment) error {
	r := settings.NewReader(env)
	port := r.Port()
	if err := r.Err(); err != nil {
		return err
	}
	client := http.Client{Timeout: 1500 * time.Millisecond}
	response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/livez", port))
	if err != nil {
		return errFailed
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errFailed
	}
	return nil
}

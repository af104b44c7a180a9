//go:build tools

// Programs that are built as they are published, at the versions that go.mod names.
package tools

import (
	_ "github.com/argoproj/argo-rollouts/cmd/rollouts-controller"
	_ "sigs.k8s.io/metrics-server/cmd/metrics-server"
)

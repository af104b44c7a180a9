//go:build tools

// A program that is built as it is published, at the version that go.mod names.
package tools

import _ "sigs.k8s.io/metrics-server/cmd/metrics-server"

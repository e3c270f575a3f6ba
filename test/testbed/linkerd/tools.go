//go:build tools

// Package linkerd pins the Linkerd whose programs read our objects in tests; see ../binaries.ts.
package linkerd

import (
	_ "github.com/linkerd/linkerd2/cli"
	_ "github.com/linkerd/linkerd2/controller/cmd"
	_ "github.com/linkerd/linkerd2/controller/script/destination-client"
)

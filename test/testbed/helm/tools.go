//go:build tools

// Package helm pins the Helm that the tests render charts with; see ../binaries.ts.
package helm

import _ "helm.sh/helm/v3/cmd/helm"

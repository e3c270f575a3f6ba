// Command etcd is the etcd server, and nothing else: its own main package lies in a module that pulls in far more.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }

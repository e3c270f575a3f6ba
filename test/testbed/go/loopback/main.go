// Command loopback brings up lo and puts IPv4 addresses on it, for machines without iproute2.
// Usage: loopback 10.200.0.1/32 10.200.0.2/32 ...
package main

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "loopback:", err)
		os.Exit(1)
	}
}

func run(addresses []string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	for _, text := range addresses {
		address, err := netlink.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if err := netlink.AddrReplace(lo, address); err != nil {
			return fmt.Errorf("add %s to lo: %w", text, err)
		}
	}
	return nil
}

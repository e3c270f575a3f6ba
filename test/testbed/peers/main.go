// Command peers is Go's HTTP/2 and gRPC, as client and as server, for tests of what real programs make of a gateway.
//
//	peers http-server [-streams N]           h2c; /bytes/N, /sink?buffer=N, /hello
//	peers http-client -url U [-buffer N] …    GET or POST (-upload N), many at once; h2c, or HTTP/2 over mTLS (-tls FOLDER)
//	peers grpc-server [-streams N]           peers.Peers: Echo, Late (answers when given up), Watch (one message, then silence), Chat
//	peers grpc-client -target T -mode M …     calls, watch, chat
//
// Servers print {"port", "stats"} as soon as they listen: GET http://127.0.0.1:<stats>/ tells what frames have come. They end with
// their standard input. Clients print one JSON object as their last line, and exit 0 whatever became of their requests.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	commands := map[string]func([]string) error{
		"http-server": httpServer,
		"http-client": httpClient,
		"grpc-server": grpcServer,
		"grpc-client": grpcClient,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("what to be? http-server, http-client, grpc-server or grpc-client")
	}
	return commands[args[0]](args[1:])
}

// say prints one line of JSON.
func say(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		panic(err)
	}
}

// untilInputEnds returns when whoever started us closes our standard input, or is no more.
func untilInputEnds() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

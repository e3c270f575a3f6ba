package main

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"
)

// prefaceLength is that of the client's connection preface (RFC 9113 section 3.4).
const prefaceLength = 24

var frameNames = []string{"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"}

// counter counts the connections that a server accepts, and the frames that come on them.
type counter struct {
	mu     sync.Mutex
	Opened int            `json:"opened"`
	Closed int            `json:"closed"`
	Frames map[string]int `json:"frames"`
	// Pings are those that ask, not those that answer ours.
	Pings int `json:"pings"`
}

// listen returns a listener on a free port whose connections are counted, and prints its port and the one of the counts.
func listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	stats, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	counts := &counter{Frames: map[string]int{}}
	go func() { _ = http.Serve(stats, counts) }()
	say(map[string]int{"port": portOf(listener), "stats": portOf(stats)})
	return &countedListener{listener, counts}, nil
}

func portOf(listener net.Listener) int { return listener.Addr().(*net.TCPAddr).Port }

func (c *counter) ServeHTTP(response http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = json.NewEncoder(response).Encode(c)
}

func (c *counter) saw(kind, flags byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(kind) < len(frameNames) {
		c.Frames[frameNames[kind]]++
	}
	if kind == 6 && flags&1 == 0 {
		c.Pings++
	}
}

type countedListener struct {
	net.Listener
	counts *counter
}

func (l *countedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.counts.mu.Lock()
	l.counts.Opened++
	l.counts.mu.Unlock()
	return &countedConn{Conn: conn, counts: l.counts, skip: prefaceLength}, nil
}

// countedConn follows the frames that are read from it.
type countedConn struct {
	net.Conn
	counts *counter
	// skip is how many bytes come before the next frame's head.
	skip int
	head []byte
	once sync.Once
}

func (c *countedConn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	for rest := into[:n]; len(rest) > 0; {
		if c.skip > 0 {
			taken := min(c.skip, len(rest))
			c.skip -= taken
			rest = rest[taken:]
			continue
		}
		taken := min(9-len(c.head), len(rest))
		c.head = append(c.head, rest[:taken]...)
		rest = rest[taken:]
		if len(c.head) == 9 {
			c.counts.saw(c.head[3], c.head[4])
			c.skip = int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2])
			c.head = c.head[:0]
		}
	}
	return n, err
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.counts.mu.Lock()
		c.counts.Closed++
		c.counts.mu.Unlock()
	})
	return c.Conn.Close()
}

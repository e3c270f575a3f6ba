package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// raw is a codec for messages that are bytes: no code is generated for them.
type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(value any) ([]byte, error) { return *value.(*[]byte), nil }

func (raw) Unmarshal(data []byte, value any) error {
	*value.(*[]byte) = append([]byte(nil), data...)
	return nil
}

var both = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

func grpcServer(args []string) error {
	flags := flag.NewFlagSet("grpc-server", flag.ContinueOnError)
	streams := flags.Uint("streams", 0, "streams per connection; 0: grpc-go's default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	options := []grpc.ServerOption{grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(serveCall)}
	if *streams > 0 {
		options = append(options, grpc.MaxConcurrentStreams(uint32(*streams)))
	}
	server := grpc.NewServer(options...)
	listener, err := listen()
	if err != nil {
		return err
	}
	go func() { _ = server.Serve(listener) }()
	return untilInputEnds()
}

func serveCall(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	switch method {
	case "/peers.Peers/Echo", "/peers.Peers/Chat":
		return echo(stream)
	case "/peers.Peers/Watch":
		first := []byte("watching")
		if err := stream.SendMsg(&first); err != nil {
			return err
		}
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	case "/peers.Peers/Late":
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	case "/peers.Peers/Refuse":
		return status.Error(codes.InvalidArgument, "not this")
	}
	return status.Error(codes.Unimplemented, method)
}

func echo(stream grpc.ServerStream) error {
	for {
		var message []byte
		err := stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = stream.SendMsg(&message)
		}
		if err != nil {
			return err
		}
	}
}

func grpcClient(args []string) error {
	flags := flag.NewFlagSet("grpc-client", flag.ContinueOnError)
	target := flags.String("target", "", "host:port")
	mode := flags.String("mode", "calls", "calls, watch, chat, refused, late-watch")
	count := flags.Int("count", 1, "calls, or messages of a chat")
	atOnce := flags.Int("at-once", 1, "calls at a time")
	size := flags.Int("size", 100, "bytes of a message")
	late := flags.Int("late", 0, "calls that run into their deadline, beside the others")
	lateAtOnce := flags.Int("late-at-once", 50, "of those, at a time")
	deadline := flags.Duration("deadline", 200*time.Millisecond, "of those")
	folder := flags.String("tls", "", "folder of ca.crt, tls.crt and tls.key")
	name := flags.String("server-name", "", "with -tls: SNI")
	if err := flags.Parse(args); err != nil {
		return err
	}
	secured := insecure.NewCredentials()
	if *folder != "" {
		config, err := tlsConfig(*folder, *name)
		if err != nil {
			return err
		}
		secured = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(*target, grpc.WithTransportCredentials(secured), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		return err
	}
	defer conn.Close()
	message := make([]byte, *size)
	good := &outcome{Results: map[string]int{}}
	given := &outcome{Results: map[string]int{}}
	switch *mode {
	case "calls":
		var others sync.WaitGroup
		others.Add(1)
		go func() {
			defer others.Done()
			given.Seconds = inParallel(*late, *lateAtOnce, func() { lateCall(conn, message, *deadline, given) })
		}()
		good.Seconds = inParallel(*count, *atOnce, func() { goodCall(conn, message, good) })
		others.Wait()
	case "watch":
		watch(conn, good)
	case "chat":
		good.add(chat(conn, message, *count))
	case "refused":
		// The server says its status at once, and the client has not ended its side.
		good.Seconds = inParallel(*count, *atOnce, func() { good.add(refused(conn, message)) })
	case "late-watch":
		good.Seconds = inParallel(*count, *atOnce, func() { good.add(lateWatch(conn, *deadline), 0) })
	default:
		return fmt.Errorf("no mode %s", *mode)
	}
	say(map[string]any{"good": good, "late": given})
	return nil
}

func goodCall(conn *grpc.ClientConn, message []byte, done *outcome) {
	var answer []byte
	err := conn.Invoke(context.Background(), "/peers.Peers/Echo", &message, &answer)
	done.add(nameOf(err), int64(len(answer)))
}

func lateCall(conn *grpc.ClientConn, message []byte, deadline time.Duration, done *outcome) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var answer []byte
	done.add(nameOf(conn.Invoke(ctx, "/peers.Peers/Late", &message, &answer)), 0)
}

// nameOf is the status, with what it says where it is neither good nor a deadline.
func nameOf(err error) string {
	found := status.Convert(err)
	if found.Code() == codes.OK || found.Code() == codes.DeadlineExceeded {
		return found.Code().String()
	}
	return fmt.Sprintf("%s: %s", found.Code(), found.Message())
}

// watch prints {"watching": true} with the first message, then waits for the end of the stream or of its standard input.
func watch(conn *grpc.ClientConn, done *outcome) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := conn.NewStream(ctx, both, "/peers.Peers/Watch")
	if err == nil {
		err = stream.CloseSend()
	}
	var message []byte
	if err == nil {
		err = stream.RecvMsg(&message)
	}
	if err != nil {
		done.add(nameOf(err), 0)
		return
	}
	say(map[string]bool{"watching": true})
	go func() {
		_ = untilInputEnds()
		cancel()
	}()
	err = stream.RecvMsg(&message)
	done.add(nameOf(err), 0)
}

// lateWatch runs into its deadline behind the first message.
func lateWatch(conn *grpc.ClientConn, deadline time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	stream, err := conn.NewStream(ctx, both, "/peers.Peers/Watch")
	if err == nil {
		err = stream.CloseSend()
	}
	for err == nil {
		var message []byte
		err = stream.RecvMsg(&message)
	}
	return nameOf(err)
}

// chat sends message after message, each when the one before has come back.
func chat(conn *grpc.ClientConn, message []byte, count int) (string, int64) {
	var read int64
	stream, err := conn.NewStream(context.Background(), both, "/peers.Peers/Chat")
	if err != nil {
		return nameOf(err), 0
	}
	for range count {
		var answer []byte
		if err := stream.SendMsg(&message); err != nil {
			return nameOf(err), read
		}
		if err := stream.RecvMsg(&answer); err != nil {
			return nameOf(err), read
		}
		read += int64(len(answer))
	}
	if err := stream.CloseSend(); err != nil {
		return nameOf(err), read
	}
	var answer []byte
	if err := stream.RecvMsg(&answer); !errors.Is(err, io.EOF) {
		return nameOf(err), read
	}
	return codes.OK.String(), read
}

func refused(conn *grpc.ClientConn, message []byte) (string, int64) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := conn.NewStream(ctx, both, "/peers.Peers/Refuse")
	if err != nil {
		return nameOf(err), 0
	}
	_ = stream.SendMsg(&message)
	var answer []byte
	return nameOf(stream.RecvMsg(&answer)), 0
}

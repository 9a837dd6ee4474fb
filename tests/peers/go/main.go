// Peer is the programs of this folder in Go: genuine gRPC on both ends, and an h2c endpoint that ends its connections.
//
//	peer grpc-server
//	peer grpc-client ADDRESS HOST ROOTS SECONDS
//	peer h2c-server
//
// A server prints its address on one line. The client makes a unary call and a streaming call that are silent for so
// long, prints what came, and exits with 1 where a call failed.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "grpc-server":
		return serveGRPC()
	case len(args) == 1 && args[0] == "h2c-server":
		return serveH2C()
	case len(args) == 5 && args[0] == "grpc-client":
		return call(args[1], args[2], args[3], args[4])
	}
	return errors.New("usage: peer grpc-server | h2c-server | grpc-client ADDRESS HOST ROOTS SECONDS")
}

// text is the one message type: bytes as they are, so that nothing has to be generated.
type text []byte

type codec struct{}

func (codec) Name() string                       { return "bytes" }
func (codec) Marshal(v any) ([]byte, error)      { return *v.(*text), nil }
func (codec) Unmarshal(data []byte, v any) error { *v.(*text) = append(text{}, data...); return nil }

// serveGRPC answers peer.Silent/Unary and peer.Silent/Stream after as many seconds as the message says.
func serveGRPC() error {
	listener, err := listen()
	if err != nil {
		return err
	}
	// With its defaults a server ends a connection that gets more than one ping in five minutes.
	server := grpc.NewServer(grpc.ForceServerCodec(codec{}))
	unary := grpc.MethodDesc{MethodName: "Unary", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var seconds text
		if err := decode(&seconds); err != nil {
			return nil, err
		}
		wait(seconds)
		return &seconds, nil
	}}
	stream := grpc.StreamDesc{StreamName: "Stream", ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		var seconds text
		if err := stream.RecvMsg(&seconds); err != nil {
			return err
		}
		if err := stream.SendMsg(&seconds); err != nil {
			return err
		}
		wait(seconds)
		return stream.SendMsg(&seconds)
	}}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "peer.Silent", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{unary}, Streams: []grpc.StreamDesc{stream},
	}, struct{}{})
	return server.Serve(listener)
}

func wait(seconds text) {
	n, _ := strconv.Atoi(string(seconds))
	time.Sleep(time.Duration(n) * time.Second)
}

func call(address, host, roots, seconds string) error {
	pem, err := os.ReadFile(roots)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	connection, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{ServerName: host, RootCAs: pool})),
		grpc.WithAuthority(host), grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})))
	if err != nil {
		return err
	}
	defer connection.Close()
	results := make(chan error, 2)
	go func() { results <- unary(connection, seconds) }()
	go func() { results <- stream(connection, seconds) }()
	return errors.Join(<-results, <-results)
}

func unary(connection *grpc.ClientConn, seconds string) error {
	in, out := text(seconds), text{}
	if err := connection.Invoke(context.Background(), "/peer.Silent/Unary", &in, &out); err != nil {
		return fmt.Errorf("unary: %w", err)
	}
	fmt.Println("unary ok")
	return nil
}

func stream(connection *grpc.ClientConn, seconds string) error {
	description := &grpc.StreamDesc{ServerStreams: true}
	stream, err := connection.NewStream(context.Background(), description, "/peer.Silent/Stream")
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	in := text(seconds)
	if err := errors.Join(stream.SendMsg(&in), stream.CloseSend()); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	for messages := 0; ; messages++ {
		out := text{}
		switch err := stream.RecvMsg(&out); {
		case errors.Is(err, io.EOF) && messages == 2:
			fmt.Println("stream ok")
			return nil
		case err != nil:
			return fmt.Errorf("stream: after %d messages: %w", messages, err)
		}
	}
}

// serveH2C answers every request with the length of its body, and ends its connection at every 50th.
func serveH2C() error {
	listener, err := listen()
	if err != nil {
		return err
	}
	var requests atomic.Int64
	handler := http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		length, err := io.Copy(io.Discard, request.Body)
		if err != nil {
			return
		}
		if requests.Add(1)%50 == 0 {
			answer.Header().Set("Connection", "close")
		}
		fmt.Fprintf(answer, "%d", length)
	})
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	return server.Serve(listener)
}

func listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println(listener.Addr())
	}
	return listener, err
}

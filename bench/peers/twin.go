// The seed's server in Go: a goroutine and a channel for each client, and nothing on disk.
//
// What tests/peers/old_server.py does with a thread and a queue for each, as anybody would write it
// in the language that gRPC servers are written in most. It prints what is said, as that one does.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"

	"peers/chatpb"
)

// How many messages may wait for one client. Whoever speaks waits for one who has so many.
const waitingAtMost = 1024

type client struct {
	messages chan *chatpb.Message
	gone     <-chan struct{}
}

type chatService struct {
	chatpb.UnimplementedChatServiceServer

	mutex   sync.Mutex // of the two below
	clients map[*client]bool
	screen  *bufio.Writer
}

// Chat serves one client for as long as its stream lives.
func (s *chatService) Chat(stream chatpb.ChatService_ChatServer) error {
	c := &client{make(chan *chatpb.Message, waitingAtMost), stream.Context().Done()}
	s.add(c)
	defer s.remove(c)
	go s.receive(stream)
	for {
		select {
		case message := <-c.messages:
			if err := stream.Send(message); err != nil {
				return err
			}
		case <-c.gone:
			return nil
		}
	}
}

func (s *chatService) receive(stream chatpb.ChatService_ChatServer) {
	for {
		message, err := stream.Recv()
		if err != nil {
			return
		}
		s.broadcast(message)
	}
}

func (s *chatService) broadcast(message *chatpb.Message) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	fmt.Fprintf(s.screen, "[%s]: %s\n", message.User, message.Message)
	for c := range s.clients {
		select {
		case c.messages <- message:
		case <-c.gone:
		}
	}
}

func (s *chatService) add(c *client) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.clients[c] = true
}

func (s *chatService) remove(c *client) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.clients, c)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Go server running on port %d...\n", listener.Addr().(*net.TCPAddr).Port)
	server := grpc.NewServer()
	chatpb.RegisterChatServiceServer(server, &chatService{
		clients: map[*client]bool{},
		screen:  bufio.NewWriter(os.Stdout),
	})
	log.Fatal(server.Serve(listener))
}

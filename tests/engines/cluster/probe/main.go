// probe shows which connections are possible: one side serves, the other asks.
//
//	probe serve PORT...      answer every connection to any of the ports
//	probe reach HOST:PORT    exit 0 when somebody answers within a second
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"time"
)

const patience = time.Second

func serve(port string) {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fail(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		fmt.Fprintln(connection, "here")
		connection.Close()
	}
}

func reach(address string) error {
	connection, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = bufio.NewReader(connection).ReadString('\n')
	return err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func main() {
	switch {
	case len(os.Args) > 2 && os.Args[1] == "serve":
		for _, port := range os.Args[2:] {
			go serve(port)
		}
		select {}
	case len(os.Args) == 3 && os.Args[1] == "reach":
		if err := reach(os.Args[2]); err != nil {
			fail(err)
		}
	default:
		fail(fmt.Errorf("probe serve PORT... | probe reach HOST:PORT"))
	}
}

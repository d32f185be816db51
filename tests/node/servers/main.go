// Program servers is what pods of the node tests run where no package has it: a Git server that takes pushes, and what
// stands for PostgREST. It is one static program, so that an image needs nothing else.
//
//	servers git FOLDER REPOSITORY...   serves bare repositories, and makes those that are missing
//	servers api                        serves tables of a database
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	log.SetFlags(0)
	// The first process of a container ignores signals that it does not ask for.
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	ended := make(chan error)
	go func() { ended <- run(os.Args[1:]) }()
	select {
	case <-asked:
	case err := <-ended:
		log.Fatal(err)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) > 1 && arguments[0] == "git":
		return serveGit(arguments[1], arguments[2:])
	case len(arguments) == 1 && arguments[0] == "api":
		return serveAPI()
	}
	return fmt.Errorf("expected `git FOLDER REPOSITORY...` or `api`, not %q", arguments)
}

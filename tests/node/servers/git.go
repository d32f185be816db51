package main

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
)

const backend = "/usr/lib/git-core/git-http-backend"

// serveGit serves the repositories of a folder at port 8080, for fetch and push; Coracle's own server is for reading.
func serveGit(folder string, repositories []string) error {
	for _, name := range repositories {
		path := filepath.Join(folder, name+".git")
		if _, err := os.Stat(path); err == nil {
			continue
		}
		for _, arguments := range [][]string{
			{"init", "--quiet", "--bare", "--initial-branch=main", path},
			{"-C", path, "config", "http.receivepack", "true"},
			{"-C", path, "config", "uploadpack.allowAnySHA1InWant", "true"},
		} {
			if said, err := exec.Command("git", arguments...).CombinedOutput(); err != nil {
				return fmt.Errorf("git %v: %w: %s", arguments, err, said)
			}
		}
	}
	return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		git := cgi.Handler{
			Path: backend,
			Env: []string{
				"GIT_PROJECT_ROOT=" + folder,
				"GIT_HTTP_EXPORT_ALL=1",
				"GIT_PROTOCOL=" + r.Header.Get("Git-Protocol"),
				"HOME=/tmp",
			},
		}
		git.ServeHTTP(w, r)
	}))
}

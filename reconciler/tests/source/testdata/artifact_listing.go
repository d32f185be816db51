// Prints artifact_listing.txt: what Flux's source-controller puts into the artifact of the files in
// artifact_files.json with `spec.ignore` set to the first argument.
//
//	go run artifact_listing.go '/secret/*
//	!/secret/public.pem' < artifact_files.json > artifact_listing.txt
//
// with github.com/fluxcd/pkg/artifact v0.18.1 in go.mod, and the `replace` of opencontainers/go-digest that
// source-controller v1.9.1 has.
package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/artifact/storage"
	"github.com/fluxcd/pkg/sourceignore"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var files []struct {
		Path, Content, Link string
		Executable          bool
	}
	check(json.NewDecoder(os.Stdin).Decode(&files))
	dir, err := os.MkdirTemp("", "files")
	check(err)
	defer os.RemoveAll(dir)
	for _, file := range files {
		path := filepath.Join(dir, file.Path)
		check(os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case file.Link != "":
			check(os.Symlink(file.Link, path))
		case file.Executable:
			check(os.WriteFile(path, []byte(file.Content), 0o755))
		default:
			check(os.WriteFile(path, []byte(file.Content), 0o644))
		}
	}

	// As GitRepositoryReconciler.reconcileArtifact has it.
	domain := strings.Split(dir, string(filepath.Separator))
	patterns, err := sourceignore.LoadIgnorePatterns(dir, domain)
	check(err)
	patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(os.Args[1]), domain)...)
	store, err := os.MkdirTemp("", "store")
	check(err)
	defer os.RemoveAll(store)
	artifact := meta.Artifact{Path: "artifact.tar.gz"}
	check(storage.Storage{BasePath: store}.Archive(&artifact, dir, storage.SourceIgnoreFilter(patterns, domain)))

	archive, err := os.Open(filepath.Join(store, artifact.Path))
	check(err)
	unzipped, err := gzip.NewReader(archive)
	check(err)
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		mtime := header.ModTime.Unix()
		fmt.Printf("%c %04o %d/%d %d %d %s\n", header.Typeflag, header.Mode, header.Uid, header.Gid, header.Size, mtime, header.Name)
	}
}

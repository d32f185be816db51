// Prints ignore_rules.jsonl: for each set of rules, the paths that Flux keeps in an artifact and those it leaves out.
//
//	go run ignore_rules.go > ignore_rules.jsonl
//
// with github.com/fluxcd/pkg/sourceignore v0.18.0 in go.mod. The matcher is put together as SourceIgnoreFilter of
// github.com/fluxcd/pkg/artifact v0.18.1 does it.
package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"
)

type file struct{ directory, text string }

func main() {
	paths := strings.Fields(".gitignore .gitmodules README.md a.png apps/ apps/app.yaml apps/app.yaml.orig " +
		"apps/.sourceignore apps/web/ apps/web/app.yaml apps/web/notes.md apps/web/docs/ apps/web/docs/deep/n.md " +
		"docs/ docs/a.md docs/b.yaml build/ build/out.yaml src/build/ src/build/x src/build.yaml x/y/z/ x/y/z/f.yaml " +
		".github/ .github/workflows/ci.yaml x/.sops.yaml .sops.yaml x/appveyor.yml archive.tar.gz foo/bar foobar " +
		"foo/ a*b [x] x1 x2 x-")
	cases := []struct {
		files []file
		spec  string
	}{
		{nil, ""},
		{nil, "# nothing\n\n"},
		{nil, "*.md"},
		{nil, "/*\n!/apps"},
		{nil, "/*\n!/apps/\n/apps/**/*.md"},
		{[]file{{"apps", "*.orig\n"}}, "/*\n!/apps"},
		{[]file{{"", "docs/\n"}, {"apps/web", "*.md\n!/notes.md\n"}}, ""},
		{[]file{{"", "*.yaml\n"}}, "!app.yaml"},
		{nil, "build/"},
		{nil, "build"},
		{nil, "/build/"},
		{nil, "src/build"},
		{nil, "**/build/"},
		{nil, "x/**/f.yaml"},
		{nil, "x/**"},
		{nil, "**/z/**"},
		{nil, "apps/*/app.yaml"},
		{nil, "foo/bar/"},
		{nil, "foo/b**"},
		{nil, "a\\*b\n[[]x]"},
		{nil, "x[0-9]"},
		{nil, "x[^0-9]"},
		{nil, "x[a"},
		{nil, "  \nREADME.md   \n#README"},
		{nil, "README.md\\ "},
		{nil, "*\n!*/\n!*.yaml"},
		{nil, "**\n!apps/**"},
		{nil, "!.gitignore\n!a.png"},
		{nil, "/"},
		{nil, "apps//app.yaml"},
		{nil, "\r\nREADME.md\r\n"},
		{nil, "?oo*"},
	}
	for _, c := range cases {
		var ps []gitignore.Pattern
		files := [][2]string{}
		for _, f := range c.files {
			var domain []string
			if f.directory != "" {
				domain = strings.Split(f.directory, "/")
			}
			ps = append(ps, sourceignore.ReadPatterns(strings.NewReader(f.text), domain)...)
			files = append(files, [2]string{f.directory, f.text})
		}
		ps = append(ps, sourceignore.ReadPatterns(strings.NewReader(c.spec), nil)...)
		matcher := sourceignore.NewDefaultMatcher(ps, nil)
		if len(ps) > 0 {
			matcher = sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), ps...))
		}
		kept, excluded := []string{}, []string{}
		for _, path := range paths {
			if matcher.Match(strings.Split(strings.TrimSuffix(path, "/"), "/"), strings.HasSuffix(path, "/")) {
				excluded = append(excluded, path)
			} else {
				kept = append(kept, path)
			}
		}
		line, err := json.Marshal(map[string]any{"files": files, "spec": c.spec, "kept": kept, "excluded": excluded})
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
	}
}

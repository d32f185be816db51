// Prints version_ranges.txt: every range against every version, as Masterminds/semver answers.
//
//	go run version_ranges.go > version_ranges.txt
//
// with github.com/Masterminds/semver/v3 v3.4.0 in go.mod.
package main

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

func main() {
	versions := strings.Fields("0.0.0 0.0.3 0.0.4 0.1.0 0.2.3 0.3.0 1.0.0-alpha 1.0.0 1.2.0 1.2.2 1.2.3-beta.1 " +
		"1.2.3 1.2.3+build 1.2.4 1.3.0 1.4.5 1.5.0 2.0.0-rc.1 2.0.0 2.1.0 3.0.0-alpha 3.1.4 10.0.0 11.1.0")
	fmt.Println(strings.Join(versions, " "))

	operators := []string{"", "=", "!=", ">", "<", ">=", "=>", "<=", "=<", "~", "~>", "^"}
	operands := []string{"*", "x", "X.1", "0", "0.0", "0.0.0", "0.0.3", "0.2", "0.2.3", "1", "1.x", "1.2", "1.2.X",
		"1.2.*", "1.2.3", "v1.2.3", "1.2.3-beta.1", "1.2-beta", "2.0.0-0", "1.2.3+build", "11", "3.1"}
	var ranges []string
	for _, operator := range operators {
		for _, operand := range operands {
			ranges = append(ranges, operator+operand)
		}
	}
	ranges = append(ranges, ">=1.0.0 <2.0.0", ">= 1.0.0, < 2", ">=1.0.0,<2.0.0", ">=1.0.0 <2.0.0 || >=3.0.0",
		"1.2 - 1.4.5", "1.2.0 - 2", "1.0.0 - 1.4 || ^3", ">=1.0.0-0 <2", ">=1.0.0 <3.0.0-0", "~1.2 || ~1.4",
		">=1.0.0 !=1.2.3 <2", "", " ", "||", "1.0.0 ||", "latest", ">1.0<2.0", ">=", "1.2.3.4", ">=1.0.0 two",
		"1.2.3-", "a.b.c", ">>1", "1.0.0,", ",1.0.0", " >=1 ", "1.2-1.4")
	for _, text := range ranges {
		constraint, err := semver.NewConstraint(text)
		if err != nil {
			fmt.Printf("%s\tinvalid\n", text)
			continue
		}
		answer := ""
		for _, version := range versions {
			if constraint.Check(semver.MustParse(version)) {
				answer += "1"
			} else {
				answer += "0"
			}
		}
		fmt.Printf("%s\t%s\n", text, answer)
	}
}

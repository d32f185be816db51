// Program bodies prints an object of every built-in kind, filled at random, as upstream encodes it: one line each,
// with the kind, its protobuf in base64, and its JSON. The decoder of the embedded cluster is tested with them.
//
//	go run ./bodies < ../../embedded-cluster/data/messages.txt
//
// The kinds are those that the lines `= VERSION KIND ...` of the input name. The same version of upstream prints the
// same lines each time.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/randfill"
)

func main() {
	known := scheme.Scheme
	check(apiextensions.AddToScheme(known))
	check(apiregistration.AddToScheme(known))
	encoder := protobuf.NewSerializer(known, known)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if words[0] != "=" {
			continue
		}
		kind := schema.FromAPIVersionAndKind(words[1], words[2])
		object, err := known.New(kind)
		check(err)
		filler(int64(len(words[3]))).Fill(object)
		object.GetObjectKind().SetGroupVersionKind(kind)
		encoded, err := runtime.Encode(encoder, object)
		check(err)
		text, err := json.Marshal(object)
		check(err)
		fmt.Println(kind.Kind, base64.StdEncoding.EncodeToString(encoded), string(text))
	}
	check(lines.Err())
}

// filler fills what says little with little, so that the lines stay short: one element a list, short texts, small
// templates of pods (a Pod is filled by itself), and schemas within schemas once.
func filler(seed int64) *randfill.Filler {
	time := func(random *rand.Rand) time.Time {
		return time.Unix(1_700_000_000+random.Int63n(1_000_000), random.Int63n(1_000_000)*1000).UTC()
	}
	text := func(random *rand.Rand) string {
		return fmt.Sprintf("t%d", random.Intn(100))
	}
	schemas := 0
	return randfill.NewWithSeed(seed).NilChance(0.1).NumElements(1, 1).MaxDepth(24).Funcs(
		func(value *string, c randfill.Continue) { *value = text(c.Rand) },
		func(value *[]byte, c randfill.Continue) { *value = []byte(text(c.Rand)) },
		func(value *int32, c randfill.Continue) { *value = c.Int31n(200) - 100 },
		func(value *int64, c randfill.Continue) { *value = c.Int63n(200) - 100 },
		func(value *float64, c randfill.Continue) { *value = float64(c.Intn(200)) / 8 },
		func(*metav1.TypeMeta, randfill.Continue) {},
		func(value *metav1.Time, c randfill.Continue) { value.Time = time(c.Rand) },
		func(value *metav1.MicroTime, c randfill.Continue) { value.Time = time(c.Rand) },
		func(value *metav1.FieldsV1, c randfill.Continue) { value.Raw = []byte(`{"f:spec":{}}`) },
		func(value *runtime.RawExtension, c randfill.Continue) { value.Raw = []byte(`{"raw":1}`) },
		func(value *resource.Quantity, c randfill.Continue) {
			*value = resource.MustParse(fmt.Sprint(c.Intn(9)+1, "Mi"))
		},
		func(value *intstr.IntOrString, c randfill.Continue) {
			*value = intstr.FromInt32(c.Int31n(100))
			if c.Bool() {
				*value = intstr.FromString(text(c.Rand))
			}
		},
		func(value *core.PodTemplateSpec, c randfill.Continue) {
			value.Labels = map[string]string{"app": text(c.Rand)}
			value.Spec.Containers = []core.Container{{Name: text(c.Rand)}}
		},
		func(value *apiextensions.JSONSchemaProps, c randfill.Continue) {
			if schemas++; schemas == 1 {
				c.FillNoCustom(value)
			} else {
				value.Type = "string"
			}
			schemas--
		},
		func(value *apiextensions.JSON, c randfill.Continue) { value.Raw = []byte(`["json"]`) },
		func(value *apiextensions.JSONSchemaPropsOrBool, c randfill.Continue) {
			value.Allows = c.Bool()
			if c.Bool() {
				value.Allows, value.Schema = true, leaf()
			}
		},
		func(value *apiextensions.JSONSchemaPropsOrArray, c randfill.Continue) {
			if value.Schema = leaf(); c.Bool() {
				value.Schema, value.JSONSchemas = nil, []apiextensions.JSONSchemaProps{*leaf()}
			}
		},
		func(value *apiextensions.JSONSchemaPropsOrStringArray, c randfill.Continue) {
			if value.Schema = leaf(); c.Bool() {
				value.Schema, value.Property = nil, []string{text(c.Rand)}
			}
		},
	)
}

func leaf() *apiextensions.JSONSchemaProps {
	return &apiextensions.JSONSchemaProps{Type: "string"}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bodies:", err)
		os.Exit(1)
	}
}

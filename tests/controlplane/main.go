// Program controlplane is etcd, the parts of Kubernetes and kubectl, each of upstream's own code, in one file.
//
//	controlplane PART [ARGUMENTS]
//
// PART is etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy or kubectl. One program
// links what they share once: it is built in a fraction of the time and space that seven would take.
//
// With CONTROLPLANE_PARENT=stdin a part ends when its standard input is closed, so that it cannot outlive the process
// that holds the other end of the pipe, however that one ends. Before it ends it removes the folder that
// CONTROLPLANE_SCRATCH names, if any, since then nobody else will.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var parts = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
}

func main() {
	if len(os.Args) < 2 {
		fail("expected the name of a part")
	}
	if os.Getenv("CONTROLPLANE_PARENT") == "stdin" {
		go endWithParent()
	}
	// Each part reads its own name and arguments where it would find them as a program of its own.
	name := os.Args[1]
	os.Args = os.Args[1:]
	switch part, known := parts[name]; {
	case known:
		os.Exit(cli.Run(part()))
	case name == "etcd":
		etcdmain.Main(os.Args)
	case name == "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
	default:
		fail("there is no part " + name)
	}
}

// endWithParent waits until nobody can write to standard input anymore.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	if scratch := os.Getenv("CONTROLPLANE_SCRATCH"); scratch != "" {
		_ = os.RemoveAll(scratch)
	}
	os.Exit(0)
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "controlplane: "+message)
	os.Exit(2)
}

// What Go's libcni sends and keeps, for the files beside this one: validate, ADD, CHECK, DEL of one
// network. See capture.py.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containernetworking/cni/libcni"
)

func report(verb string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", verb, err)
	}
}

func main() {
	file, plugins, cache := os.Args[1], os.Args[2], os.Args[3]
	list, err := libcni.ConfListFromFile(file)
	if err != nil {
		panic(err)
	}
	container := &libcni.RuntimeConf{
		ContainerID: "c1",
		NetNS:       "/run/netns/c",
		IfName:      "eth0",
		Args:        [][2]string{{"A", "1"}, {"B", "2"}},
	}
	if err := json.Unmarshal([]byte(os.Args[4]), &container.CapabilityArgs); err != nil {
		panic(err)
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{plugins}, cache, nil)
	ctx := context.Background()
	_, err = cni.ValidateNetworkList(ctx, list)
	report("validate", err)
	result, err := cni.AddNetworkList(ctx, list, container)
	report("add", err)
	if result != nil {
		_ = result.Print()
	}
	entry, _ := os.ReadFile(cache + "/results/net-c1-eth0")
	_ = os.WriteFile(cache+"/entry", entry, 0o600)
	report("check", cni.CheckNetworkList(ctx, list, container))
	report("delete", cni.DelNetworkList(ctx, list, container))
}

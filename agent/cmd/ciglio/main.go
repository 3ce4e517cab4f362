// Command ciglio is the program of a roadside speed camera, and of anyone's
// desk: it measures, and it checks what was measured.
package main

import (
	"os"

	"ciglio/agent"
)

func main() { os.Exit(agent.Main(os.Args[1:], os.Stdout, os.Stderr)) }

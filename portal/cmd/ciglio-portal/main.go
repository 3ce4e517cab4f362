// Command ciglio-portal is the centre that receives the evidence of speed cameras. See
// package portal.
package main

import (
	"os"

	"ciglio/portal"
)

func main() { os.Exit(portal.Main(os.Args[1:], os.Stdout, os.Stderr)) }

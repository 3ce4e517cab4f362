// What only tests need that hold the programs to other people's code: a module of its
// own, so that it is not in that of the programs.
module ciglio/cross/reference

go 1.26.0

require (
	ciglio v0.0.0
	github.com/mjibson/go-dsp v0.0.0-20180508042940-11479a337f12
	github.com/veraison/go-cose v1.3.0
	gonum.org/v1/gonum v0.17.0
)

require (
	github.com/fxamacker/cbor/v2 v2.9.6 // indirect
	github.com/x448/float16 v0.8.4 // indirect
)

replace ciglio => ../..

// Package outbox keeps sealed records on flash until the centre has answered
// each of them with a receipt.
package outbox

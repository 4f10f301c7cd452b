// Package certs is the TLS of a cluster: the files of a node or a client, what a certificate of the cluster says its holder is, and which
// connections may stay open when the files change.
//
// A certificate names a role and a cluster in one of its DNS names, such as node.prod.callboard. Whoever made it is no matter, as long as the
// CA file of the other side has its issuer. Both are checked by every handshake, and again for every open connection when the files have
// changed. Sessions are never resumed: a resumed one would show the certificate of its first handshake, whatever has changed since.
package certs

// Package gossip tells who is there: which engine nodes run, under which names, addresses and versions. It is memberlist behind a
// two-method interface.
//
// What it says is a hint. It triggers (a node has come, look whether it should join; an address has changed), but the Raft
// configuration is the truth, and nobody is removed on gossip's word. Package server calls it, and nothing of memberlist leaves it.
// memberlist does not run in virtual time; tests of whole clusters use Static.
package gossip

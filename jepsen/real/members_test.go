//go:build unix

package real_test

import "testing"

// Three nodes without actors: who is who, and who belongs to the cluster.
func TestMembers(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	s.tell("a copied directory harms nobody", aCopiedDirectoryHarmsNobody)
	s.tell("a living name is not taken", aLivingNameIsNotTaken)
	s.tell("a killed node is back at new addresses", aKilledNodeIsBackAtNewAddresses)
	s.tell("a node is found under another name", aNodeIsFoundUnderAnotherName)
	s.tell("a removed node says so", aRemovedNodeSaysSo)
}

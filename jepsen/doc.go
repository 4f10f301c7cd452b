// Package jepsen judges the product from outside. It runs the built binary as real processes, kills, freezes and cuts them off, and
// checks what everybody saw against what is promised. Nothing here imports the engine: whatever it knows, a user could know.
//
//	history/         what happened, as those saw it who took part: calls and their outcomes, bodies of actors, deaths of processes
//	check/           the promises, as functions of a history
//	real/            real processes and what is done to them; its tests are the scenarios, one file each
//	crowd/           very many runners at little cost, to find out what they cost
//	cmd/testrunner/  a runner that writes down when each of its actors ran
package jepsen
